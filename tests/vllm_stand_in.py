"""FakeVllm as a program: started in vLLM's place, with its arguments, and a child process for its engine."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.fake_vllm import FakeVllm

PROJECT = Path(__file__).parents[1]


def stand_in_python(folder: Path, *, first_token_s: float = 0, between_tokens_s: float = 0.01) -> Path:
    """An "interpreter" that runs the stand-in, whatever module it is asked for; it speaks at this pace."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    pace = f"--first-token-s {first_token_s} --between-tokens-s {between_tokens_s}"
    python.write_text(f'#!/bin/sh\ncd "{PROJECT}" && exec "{sys.executable}" -m tests.vllm_stand_in {pace} "$@"\n')
    python.chmod(0o755)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--served-model-name"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--max-model-len"):
        parser.add_argument(name, required=True, type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--middleware")
    parser.add_argument("--first-token-s", default=0.0, type=float)
    parser.add_argument("--between-tokens-s", default=0.01, type=float)
    options, _ = parser.parse_known_args()
    if not (Path(options.model) / "config.json").is_file():
        raise OSError(f"no config.json in {options.model}")
    subprocess.Popen(["sleep", "600"])
    fake = FakeVllm(
        base_name=options.served_model_name,
        base_model=Path(options.model),
        context_tokens=options.max_model_len,
        api_key=os.environ.get("VLLM_API_KEY"),
        host=options.host,
        middleware=options.middleware,
        port=options.port,
        first_token_s=options.first_token_s,
        between_tokens_s=options.between_tokens_s,
    )
    ended = threading.Event()
    # The first process of a container has no default action for it.
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with fake:
        ended.wait()


if __name__ == "__main__":
    main()
