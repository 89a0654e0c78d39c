"""How vLLM in a pod is closed to all but the server: the names of the guard, and its text for a ConfigMap."""

from pathlib import Path

from serving import guard_middleware
from serving.guard_middleware import HEADER, KEY_VARIABLE

__all__ = ["CLASS", "HEADER", "KEY_VARIABLE", "MODULE", "source"]

MODULE = "tunesmith_guard"
"""What the text is mounted as: ``<MODULE>.py``, in a folder of ``PYTHONPATH``."""
CLASS = f"{MODULE}.{guard_middleware.Guard.__name__}"
"""For vLLM's ``--middleware``."""


def source() -> str:
    """The text of the module."""
    return Path(guard_middleware.__file__).read_text(encoding="utf-8")
