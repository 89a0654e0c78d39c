from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.adapter_files import adapter_shapes, make_adapter, make_base_files
from training.adapters import AdapterFacts, AdapterProblem, check_adapter, inspect_adapter

Spoil = Callable[[Path, Path], object]
Q0 = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base_files(tmp_path / "base")


def test_the_facts_of_a_good_adapter(tmp_path: Path, base: Path) -> None:
    facts = check_adapter(make_adapter(tmp_path / "a", base, rank=4), base=base, max_lora_rank=16)
    assert facts == AdapterFacts(
        rank=4,
        alpha=8.0,
        target_modules=("k_proj", "o_proj", "q_proj", "v_proj"),
        parameters=2 * (2 * (4 * 16 + 16 * 4) + 2 * (4 * 16 + 8 * 4)),
        size_bytes=(tmp_path / "a" / "adapter_model.safetensors").stat().st_size,
        base_model=str(base),
    )
    assert AdapterFacts.from_json(facts.to_json()) == facts


def test_the_rank_is_the_largest_of_the_modules(tmp_path: Path, base: Path) -> None:
    shapes = adapter_shapes(base, rank=4, modules=("k_proj",)) | adapter_shapes(base, rank=12, modules=("q_proj",))
    folder = make_adapter(tmp_path / "a", base, rank=4, shapes=shapes, rank_pattern={"q_proj": 12})
    assert inspect_adapter(folder).rank == 12


def test_an_adapter_of_the_embedding_fits(tmp_path: Path, base: Path) -> None:
    name = "base_model.model.model.embed_tokens"
    shapes = {f"{name}.lora_embedding_A": (4, 40), f"{name}.lora_embedding_B": (16, 4)}
    folder = make_adapter(tmp_path / "a", base, shapes=shapes)
    assert check_adapter(folder, base=base, max_lora_rank=8).target_modules == ("embed_tokens",)


def _with(**config: Any) -> Spoil:
    return lambda folder, base: make_adapter(folder, base, **config)


def _with_shapes(change: Callable[[dict[str, tuple[int, ...]]], object]) -> Spoil:
    def spoil(folder: Path, base: Path) -> None:
        shapes = adapter_shapes(base)
        change(shapes)
        make_adapter(folder, base, shapes=shapes)

    return spoil


def _without(name: str) -> Spoil:
    return lambda folder, base: (make_adapter(folder, base) / name).unlink()


def _cut(folder: Path, base: Path) -> None:
    file = make_adapter(folder, base) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def _garbled(folder: Path, base: Path) -> None:
    (make_adapter(folder, base) / "adapter_config.json").write_text("{")


def _whole_model(folder: Path, _: Path) -> None:
    make_base_files(folder)


Q0_A, Q0_B = (f"base_model.model.{Q0}.lora_{half}.weight" for half in "AB")


@pytest.mark.parametrize(
    ("spoil", "code", "params"),
    [
        (lambda *_: None, "no_folder", {"folder": "{folder}"}),
        (_whole_model, "full_checkpoint", {"folder": "{folder}"}),
        (_without("adapter_config.json"), "missing_file", {"file": "adapter_config.json", "folder": "{folder}"}),
        (
            _without("adapter_model.safetensors"),
            "missing_file",
            {"file": "adapter_model.safetensors", "folder": "{folder}"},
        ),
        (lambda folder, _: folder.mkdir(), "missing_file", {"file": "adapter_config.json", "folder": "{folder}"}),
        (_garbled, "damaged", {"file": "adapter_config.json"}),
        (_cut, "damaged", {"file": "adapter_model.safetensors"}),
        (_with(peft_type="IA3"), "not_lora", {"kind": "IA3"}),
        (_with(use_dora=True), "unsupported", {"feature": "DoRA"}),
        (_with(bias="all"), "unsupported", {"feature": "bias"}),
        (_with(layer_replication=[[0, 2]]), "unsupported", {"feature": "layer_replication"}),
        (_with(init_lora_weights="pissa_niter_16"), "changed_base", {"init": "pissa_niter_16"}),
        (_with(modules_to_save=["lm_head", "embed_tokens"]), "modules_to_save", {"modules": "lm_head, embed_tokens"}),
        (
            _with_shapes(lambda s: s.update({"base_model.model.lm_head.weight": (40, 16)})),
            "modules_to_save",
            {"modules": "lm_head"},
        ),
        (
            _with_shapes(lambda s: s.update({f"base_model.model.{Q0}.lora_magnitude_vector": (16,)})),
            "unsupported",
            {"feature": "DoRA"},
        ),
        (_with_shapes(lambda s: s.pop(Q0_B)), "half_module", {"module": Q0}),
        (_with_shapes(lambda s: s.clear()), "empty", {}),
        (
            _with(r=8),
            "wrong_shape",
            {
                "module": Q0,
                "found": "(4, 16) (16, 4)",
                "expected": "(8, 16) (16, 8)",
            },
        ),
        (_with(rank=17), "rank_too_high", {"rank": 17, "maximum": 16}),
        (
            _with_shapes(
                lambda s: s.update(
                    {
                        "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight": (4, 16),
                        "base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight": (16, 4),
                    }
                )
            ),
            "unknown_module",
            {"module": "model.layers.9.self_attn.q_proj"},
        ),
        (
            _with_shapes(lambda s: s.update({Q0_A: (4, 32)})),
            "wrong_shape",
            {"module": Q0, "found": "(4, 32) (16, 4)", "expected": "(4, 16) (16, 4)"},
        ),
        (
            _with_shapes(lambda s: s.update({Q0_B: (16, 5)})),
            "wrong_shape",
            {"module": Q0, "found": "(4, 16) (16, 5)", "expected": "(4, 16) (16, 4)"},
        ),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_by_name(
    tmp_path: Path, base: Path, spoil: Spoil, code: str, params: dict[str, object]
) -> None:
    folder = tmp_path / "a"
    spoil(folder, base)
    with pytest.raises(AdapterProblem) as caught:
        check_adapter(folder, base=base, max_lora_rank=16)
    assert caught.value.code == code
    assert caught.value.params == {
        name: str(folder) if value == "{folder}" else value for name, value in params.items()
    }


def test_a_base_that_cannot_be_read_is_said(tmp_path: Path, base: Path) -> None:
    folder = make_adapter(tmp_path / "a", base)
    (base / "model.safetensors").unlink()
    with pytest.raises(AdapterProblem, match="base_unreadable"):
        check_adapter(folder, base=base, max_lora_rank=16)
