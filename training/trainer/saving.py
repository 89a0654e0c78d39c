"""The trained model as a folder that vLLM serves; complete when its manifest is there."""

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig, PreTrainedModel

from storage.manifests import write_manifest

_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab*", "merges*")


def save_model(model: torch.nn.Module, base: Path, target: Path) -> None:
    """Write the adapter, or the whole model, with the tokenizer files of ``base``; the manifest last."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if isinstance(model, PeftModel):
        model.save_pretrained(str(target), save_embedding_layers=False)
        # The library's card says nothing that we do not know, and names folders of this machine.
        (target / "README.md").unlink(missing_ok=True)
    elif isinstance(model, PreTrainedModel):
        torch.nn.Module.to(model, dtype=AutoConfig.from_pretrained(base).dtype or model.dtype)
        model.save_pretrained(target)
        _copy(base, target, ("generation_config.json",))
    _copy(base, target, _TOKENIZER_FILES)
    write_manifest(target)


def _copy(base: Path, target: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for file in base.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
