"""A LoRA adapter as PEFT writes it, made without torch: real tensors of zeros for a Llama's attention."""

import json
import shutil
from pathlib import Path

from storage.manifests import write_manifest

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_tiny_adapter(folder: Path, base_model: Path, *, rank: int = 8, alpha: int = 16) -> Path:
    """Write a complete adapter for the checkpoint in ``base_model``; without one there, for a model 64 wide."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(base_model)
    (folder / "adapter_config.json").write_text(json.dumps(_adapter_config(base_model, rank, alpha), indent=2))
    (folder / "adapter_model.safetensors").write_bytes(_safetensors(_shapes(config, rank)))
    for name in _TOKENIZER_FILES:
        if (base_model / name).is_file():
            shutil.copyfile(base_model / name, folder / name)
    write_manifest(folder)
    return folder


def _config(base_model: Path) -> dict[str, int]:
    path = base_model / "config.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    return {"hidden_size": found.get("hidden_size", 64), "layers": found.get("num_hidden_layers", 2)}


def _adapter_config(base_model: Path, rank: int, alpha: int) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base_model),
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.1,
        "bias": "none",
        "target_modules": ["q_proj"],
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _shapes(config: dict[str, int], rank: int) -> dict[str, tuple[int, int]]:
    hidden = config["hidden_size"]
    shapes: dict[str, tuple[int, int]] = {}
    for layer in range(config["layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        shapes[f"{name}.lora_A.weight"] = (rank, hidden)
        shapes[f"{name}.lora_B.weight"] = (hidden, rank)
    return shapes


def _safetensors(shapes: dict[str, tuple[int, int]]) -> bytes:
    # The format: eight bytes of header length, the header as JSON, then the tensors one after the other.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + bytes(end)
