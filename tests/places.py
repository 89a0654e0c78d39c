"""Where a test finds what `scripts/test` prepares; a test is skipped, by name, where the machine lacks it."""

import os
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def shared_data(name: str) -> Path:
    """A file of the demonstration data, beside the checkout."""
    shared = Path(os.environ.get("TUNESMITH_TEST_SHARED", PROJECT.parent / "shared"))
    return _existing(shared / "data" / name)


def bundled_model() -> Path:
    """The plain checkpoint of SmolLM2-135M-Instruct."""
    prepared = PROJECT / ".cache" / "home" / "models" / "smollm2-135m-instruct"
    return _existing(Path(os.environ.get("TUNESMITH_TEST_MODEL", prepared)))


def serving_python() -> Path:
    """The Python that vLLM is installed for."""
    prepared = PROJECT / ".venv-serving" / "bin" / "python"
    return _existing(Path(os.environ.get("TUNESMITH_TEST_SERVING_PYTHON", prepared)))


def chromium() -> Path:
    """The system's own Chromium, for Playwright's ``executable_path``."""
    return _existing(Path(shutil.which("chromium") or "/usr/bin/chromium"))


def _existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not here ({path}): scripts/test prepares what it can")
    return path
