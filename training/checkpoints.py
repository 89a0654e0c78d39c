"""What a folder with a base model holds, read from its small files and the headers of its weights; without torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.parameters import Value
from training.weights import CheckpointError as CheckpointError
from training.weights import Weights, read_json, read_weights

Json = dict[str, Any]

CAUSAL_EXCEPTIONS = frozenset({"GPT2LMHeadModel"})
"""Architectures that generate text although their name does not end in ForCausalLM."""


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """A base model in numbers."""

    name: str
    architecture: str
    """The class, such as ``LlamaForCausalLM``."""
    parameters: int
    context_tokens: int
    hidden_size: int
    intermediate_size: int
    layers: int
    vocabulary: int
    has_tied_embeddings: bool
    """Whether the output layer is the input embedding."""
    dtype: str
    """``bfloat16``, ``float16`` or ``float32``: how most of the weights are stored."""
    size_bytes: int
    """Of the weights."""
    has_chat_template: bool
    template_sha256: str | None
    """Of the template's text."""
    stop_tokens: tuple[str, ...]
    licence: str | None
    attention_heads: int | None = None
    """None: not known, as of a model that was looked at before this was asked for."""
    hub_name: str | None = None
    """``organisation/model``, of one that was fetched from a hub: no file of it says so."""
    key_value_heads: int | None = None
    """Fewer than attention heads, or as many; None: not known."""
    has_experts: bool = False
    """Whether its feed-forward layers are a mixture of experts."""

    def to_json(self) -> dict[str, Value | list[str]]:
        """As plain data."""
        return asdict(self) | {"stop_tokens": list(self.stop_tokens)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CheckpointFacts":
        """From what ``to_json`` gave."""
        return cls(**{**data, "stop_tokens": tuple(data["stop_tokens"])})


def inspect_checkpoint(folder: Path) -> CheckpointFacts:
    """The facts of the base model in ``folder``; raises CheckpointError where it cannot be tuned."""
    config = _config(folder)
    architecture = _architecture(config)
    _require_tokenizer(folder)
    weights = read_weights(folder)
    template = _template(folder)
    return CheckpointFacts(
        name=folder.name,
        architecture=architecture,
        parameters=weights.parameters,
        context_tokens=_number(config, "max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"),
        hidden_size=(hidden := _number(config, "hidden_size", "n_embd", "d_model")),
        intermediate_size=_number(config, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
        layers=_number(config, "num_hidden_layers", "n_layer"),
        vocabulary=_number(config, "vocab_size"),
        has_tied_embeddings=_is_tied(config, weights),
        dtype=weights.dtype,
        size_bytes=weights.size_bytes,
        has_chat_template=template is not None,
        template_sha256=hashlib.sha256(template.encode()).hexdigest() if template is not None else None,
        stop_tokens=_stop_tokens(folder, config),
        licence=_licence(folder),
        attention_heads=_find_number(config, "num_attention_heads", "n_head"),
        key_value_heads=_find_number(config, "num_key_value_heads", "num_kv_heads"),
        has_experts=_find_number(config, "num_experts", "num_local_experts", "n_routed_experts") is not None,
    )


def _config(folder: Path) -> Json:
    if not folder.is_dir():
        raise CheckpointError("no_folder", {"folder": str(folder)})
    if not (folder / "config.json").is_file():
        code = "adapter_not_model" if (folder / "adapter_config.json").is_file() else "no_config"
        raise CheckpointError(code, {"folder": str(folder)})
    return read_json(folder / "config.json")


def _architecture(config: Json) -> str:
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if not (architecture.endswith("ForCausalLM") or architecture in CAUSAL_EXCEPTIONS):
        given = architecture or str(config.get("model_type", "?"))
        raise CheckpointError("unsupported_architecture", {"architecture": given})
    if isinstance(quantized := config.get("quantization_config"), dict):
        raise CheckpointError("quantized_checkpoint", {"method": str(quantized.get("quant_method", "?"))})
    return architecture


def _number(config: Json, *names: str, default: int | None = None) -> int:
    """As ``_find_number``; without one the default, else a CheckpointError."""
    found = _find_number(config, *names) or default
    if found is None:
        raise CheckpointError("missing_setting", {"file": "config.json", "setting": names[0]})
    return found


def _find_number(config: Json, *names: str) -> int | None:
    """The first whole number above 0 that the configuration holds under one of these names."""
    values = (config.get(name) for name in names)
    return next((one for one in values if isinstance(one, int) and not isinstance(one, bool) and one > 0), None)


def _require_tokenizer(folder: Path) -> None:
    if (folder / "tokenizer.json").is_file():
        return
    others = ("tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "tekken.json", "tokenizer_config.json")
    found = [name for name in others if (folder / name).is_file()]
    raise CheckpointError("no_tokenizer", {"folder": str(folder), "found": ", ".join(found) or "-"})


def _template(folder: Path) -> str | None:
    """The chat template's text: its own file goes before the tokenizer's configuration."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _optional_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, str):
        return template
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        default = named.get("default")
        return default if isinstance(default, str) else None
    return None


def _stop_tokens(folder: Path, config: Json) -> tuple[str, ...]:
    """What ends an answer: the tokens of generation_config.json (else config.json), and the tokenizer's own end."""
    generation = _optional_json(folder / "generation_config.json")
    ids = generation.get("eos_token_id", config.get("eos_token_id"))
    wanted: Sequence[object] = ids if isinstance(ids, list) else [ids]
    added = _optional_json(folder / "tokenizer.json").get("added_tokens")
    by_id = {entry.get("id"): entry.get("content") for entry in added or [] if isinstance(entry, dict)}
    tokens = [by_id.get(token_id) for token_id in wanted]
    end = _optional_json(folder / "tokenizer_config.json").get("eos_token")
    tokens.append(end.get("content") if isinstance(end, dict) else end)
    return tuple(dict.fromkeys(token for token in tokens if isinstance(token, str)))


def _is_tied(config: Json, weights: Weights) -> bool:
    """By what is stored: a model with an output layer of its own stores it."""
    return bool(config.get("tie_word_embeddings", True)) and not weights.has_output_layer


def _licence(folder: Path) -> str | None:
    """What the model card's head says after ``license:``; None where it says nothing."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with card.open(encoding="utf-8", errors="replace") as file:
        head = file.read(20_000)
    if not head.startswith("---"):
        return None
    for line in head.split("---", 2)[1].splitlines():
        key, _, value = line.partition(":")
        if key == "license" and value.strip():
            return value.strip().strip("\"'")
    return None


def _optional_json(path: Path) -> Json:
    return read_json(path) if path.is_file() else {}
