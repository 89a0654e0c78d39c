"""An attempt as the bytes of ``request.json``, and the folders that its keys mean. No torch here."""

from pathlib import Path

from pydantic import TypeAdapter

from training.runs import Attempt

_ATTEMPT = TypeAdapter(Attempt)
ARTIFACT = "artifact:"
"""Before a key of the artifact root, where a folder of the disk could stand."""


def to_json(attempt: Attempt) -> bytes:
    """The attempt as JSON."""
    return _ATTEMPT.dump_json(attempt, indent=2)


def from_json(data: bytes) -> Attempt:
    """The attempt again. Raises pydantic's ValidationError where it is none."""
    return _ATTEMPT.validate_json(data)


def base_model_folder(root: Path, attempt: Attempt) -> Path:
    """The folder of the checkpoint that training begins with."""
    name = attempt.base_model
    return root / name.removeprefix(ARTIFACT) if name.startswith(ARTIFACT) else Path(name)
