"""FakeVllm as a program: started in vLLM's place, with its arguments, and a child process for its engine."""

import argparse
import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.fake_vllm import FakeVllm

PROJECT = Path(__file__).parents[1]


def stand_in_python(folder: Path) -> Path:
    """An "interpreter" that runs the stand-in, whatever module it is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\ncd "{PROJECT}" && exec "{sys.executable}" -m tests.vllm_stand_in "$@"\n')
    python.chmod(0o755)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--served-model-name"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--max-model-len"):
        parser.add_argument(name, required=True, type=int)
    options, _ = parser.parse_known_args()
    if not (Path(options.model) / "config.json").is_file():
        raise OSError(f"no config.json in {options.model}")
    subprocess.Popen(["sleep", "600"])
    fake = FakeVllm(
        base_name=options.served_model_name,
        context_tokens=options.max_model_len,
        api_key=os.environ["VLLM_API_KEY"],
        port=options.port,
        between_tokens_s=0.01,
    )
    with fake:
        threading.Event().wait()


if __name__ == "__main__":
    main()
