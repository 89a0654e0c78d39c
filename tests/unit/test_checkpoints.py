"""Folders with base models, and folders that only look like one."""

import hashlib
import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest

from training.checkpoints import CheckpointError, CheckpointFacts, inspect_checkpoint

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "eos_token_id": 3,
}
TENSORS = {"model.embed_tokens.weight": (32, 8), "model.layers.0.mlp.weight": (16, 8)}
TEMPLATE = "{{ messages[0]['content'] }}"


def write_weights(path: Path, tensors: Mapping[str, tuple[int, ...]], *, dtype: str = "BF16") -> None:
    """A safetensors file, written by hand."""
    width = {"BF16": 2, "F32": 4, "U8": 1}[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + width * prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(end))


def make_model(folder: Path, **changes: Any) -> Path:
    """A small whole model; ``changes`` go into its configuration."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    tokens = [{"id": 2, "content": "<|end|>"}, {"id": 3, "content": "<|im_end|>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "<|end|>"}))
    write_weights(folder / "model.safetensors", TENSORS)
    return folder


def code_of(folder: Path) -> tuple[str, Mapping[str, object]]:
    with pytest.raises(CheckpointError) as caught:
        inspect_checkpoint(folder)
    return caught.value.code, caught.value.params


def test_a_whole_model(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "small")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Small\n")
    facts = inspect_checkpoint(folder)
    assert facts == CheckpointFacts(
        name="small",
        architecture="LlamaForCausalLM",
        parameters=32 * 8 + 16 * 8,
        context_tokens=128,
        hidden_size=8,
        intermediate_size=16,
        layers=2,
        vocabulary=32,
        has_tied_embeddings=True,
        dtype="bfloat16",
        size_bytes=(folder / "model.safetensors").stat().st_size,
        has_chat_template=True,
        template_sha256=hashlib.sha256(TEMPLATE.encode()).hexdigest(),
        stop_tokens=("<|im_end|>", "<|end|>"),
        licence="apache-2.0",
        attention_heads=4,
        key_value_heads=2,
    )
    assert CheckpointFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_of_before_heads_were_asked_for_are_read(tmp_path: Path) -> None:
    stored = inspect_checkpoint(make_model(tmp_path / "m")).to_json()
    for name in ("attention_heads", "key_value_heads", "has_experts"):
        del stored[name]
    assert CheckpointFacts.from_json(stored).attention_heads is None


def test_a_mixture_of_experts_is_a_fact(tmp_path: Path) -> None:
    assert inspect_checkpoint(make_model(tmp_path / "m", num_experts=8)).has_experts


def test_shards_are_added_up(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "sharded", tie_word_embeddings=False)
    (folder / "model.safetensors").unlink()
    write_weights(folder / "model-1.safetensors", TENSORS, dtype="F32")
    write_weights(folder / "model-2.safetensors", {"lm_head.weight": (32, 8)}, dtype="F32")
    weight_map = dict.fromkeys(TENSORS, "model-1.safetensors") | {"lm_head.weight": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    facts = inspect_checkpoint(folder)
    assert (facts.parameters, facts.dtype, facts.has_tied_embeddings) == (640, "float32", False)

    (folder / "model-2.safetensors").unlink()
    assert code_of(folder) == (
        "incomplete_shards",
        {"file": "model-2.safetensors", "missing": 1, "found": 1, "all": 2},
    )


def test_the_templates_own_file_goes_first(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "chat_template.jinja").write_text("other")
    assert inspect_checkpoint(folder).template_sha256 == hashlib.sha256(b"other").hexdigest()


def test_of_several_templates_the_default_counts(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert inspect_checkpoint(folder).template_sha256 == hashlib.sha256(b"d").hexdigest()


def test_a_model_without_a_template_is_a_fact(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "tokenizer_config.json").unlink()
    facts = inspect_checkpoint(folder)
    assert (facts.has_chat_template, facts.template_sha256) == (False, None)
    assert facts.stop_tokens == ("<|im_end|>",)


def test_the_stop_tokens_of_the_generation_configuration_count(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 2]}))
    assert inspect_checkpoint(folder).stop_tokens == ("<|im_end|>", "<|end|>")


def test_older_names_of_the_configuration(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 32}
    old = {"architectures": ["GPT2LMHeadModel"], **sizes}
    (folder / "config.json").write_text(json.dumps(old))
    facts = inspect_checkpoint(folder)
    assert (facts.hidden_size, facts.intermediate_size, facts.layers, facts.context_tokens) == (8, 32, 2, 64)
    assert (facts.attention_heads, facts.key_value_heads) == (4, None)


def test_no_folder(tmp_path: Path) -> None:
    assert code_of(tmp_path / "none")[0] == "no_folder"


def test_an_empty_folder(tmp_path: Path) -> None:
    assert code_of(tmp_path) == ("no_config", {"folder": str(tmp_path)})


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert code_of(tmp_path)[0] == "adapter_not_model"


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "T5ForConditionalGeneration", "BertModel"])
def test_models_that_do_not_write_text(tmp_path: Path, architecture: str) -> None:
    folder = make_model(tmp_path / "m", architectures=[architecture])
    assert code_of(folder) == ("unsupported_architecture", {"architecture": architecture})


def test_a_configuration_that_names_no_architecture(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", architectures=None)
    assert code_of(folder) == ("unsupported_architecture", {"architecture": "llama"})


def test_quantized_weights(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", quantization_config={"quant_method": "gptq"})
    assert code_of(folder) == ("quantized_checkpoint", {"method": "gptq"})
    other = make_model(tmp_path / "n")
    write_weights(other / "model.safetensors", TENSORS, dtype="U8")
    assert code_of(other) == ("quantized_checkpoint", {"method": "U8"})


def test_only_a_sentencepiece_tokenizer(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    assert code_of(folder) == (
        "no_tokenizer",
        {"folder": str(folder), "found": "tokenizer.model, tokenizer_config.json"},
    )


@pytest.mark.parametrize("other", ["pytorch_model.bin", "model-q4.gguf"])
def test_weights_of_another_kind_are_named(tmp_path: Path, other: str) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / other)
    assert code_of(folder) == ("other_weights", {"folder": str(folder), "found": other})


def test_no_weights_at_all(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    assert code_of(folder)[0] == "no_weights"


def test_shards_without_their_index(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert code_of(folder)[0] == "no_index"


def test_json_that_does_not_parse_names_its_line(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "config.json").write_text('{\n  "a": 1,\n  oops\n}')
    assert code_of(folder) == ("broken_json", {"file": "config.json", "line": 3})
    (folder / "config.json").write_text("[]")
    assert code_of(folder)[0] == "broken_json"


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", hidden_size=None)
    assert code_of(folder) == ("missing_setting", {"file": "config.json", "setting": "hidden_size"})


def test_weights_that_were_not_copied_whole(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for part in (whole[:-1], whole[:20], b"", b"\xff" * 64, (9).to_bytes(8, "little") + b"[1, 2, 3]"):
        weights.write_bytes(part)
        assert code_of(folder) == ("damaged_weights", {"file": "model.safetensors"})


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert code_of(folder) == ("pointer_file", {"file": "model.safetensors"})
