"""Adapters and the files of a base model, made byte by byte: without torch, and wrong in whatever way a test wants."""

import json
import random
import struct
from array import array
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from training.weights import read_shapes

Shapes = Mapping[str, tuple[int, ...]]

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def write_safetensors(path: Path, shapes: Shapes, *, scale: float = 0.05, seed: int = 0) -> None:
    """Tensors of random float32 numbers."""
    numbers, header, end = random.Random(seed), {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    values = array("f", (numbers.gauss(0, scale) for _ in range(end // 4)))
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + values.tobytes())


def make_base_files(folder: Path, *, hidden: int = 16, layers: int = 2) -> Path:
    """What a check reads of a base model; nothing that could answer."""
    folder.mkdir(parents=True)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (40, hidden)}
    for layer in range(layers):
        for module in ("q_proj", "o_proj"):
            shapes[f"model.layers.{layer}.self_attn.{module}.weight"] = (hidden, hidden)
        for module in ("k_proj", "v_proj"):
            shapes[f"model.layers.{layer}.self_attn.{module}.weight"] = (hidden // 2, hidden)
    write_safetensors(folder / "model.safetensors", shapes)
    config = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": hidden, "num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def adapter_shapes(base: Path, *, rank: int = 4, modules: tuple[str, ...] = ATTENTION) -> dict[str, tuple[int, ...]]:
    """The tensors of a good adapter for the base model in ``base``."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (wide_out, wide_in) in ((name, shape) for name, shape in read_shapes(base).items() if len(shape) == 2):
        path = name.removesuffix(".weight")
        if path.endswith(modules):
            shapes[f"base_model.model.{path}.lora_A.weight"] = (rank, wide_in)
            shapes[f"base_model.model.{path}.lora_B.weight"] = (wide_out, rank)
    return shapes


def make_adapter(
    folder: Path, base: Path, *, rank: int = 4, shapes: Shapes | None = None, scale: float = 0.05, **config: Any
) -> Path:
    """An adapter for ``base``; ``shapes`` and ``config`` replace and add to what a good one has."""
    folder.mkdir(parents=True)
    good = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(ATTENTION),
        "modules_to_save": None,
        "use_dora": False,
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(good | config))
    write_safetensors(
        folder / "adapter_model.safetensors", adapter_shapes(base, rank=rank) if shapes is None else shapes, scale=scale
    )
    return folder
