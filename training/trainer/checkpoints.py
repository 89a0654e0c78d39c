"""Which checkpoints can be resumed from. No torch here.

The trainer library writes a checkpoint file by file; ours is the last one, ``complete.json``: it names the sizes of all
others, and the parts of the plan that must not change. Without it, or with a file that has another size, the process
was killed while it saved.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from training.layout import write_whole
from training.runs import Attempt
from training.trainer.exits import BadConfiguration, LostPeer

COMPLETE = "complete.json"
_MAY_CHANGE = frozenset({"epochs", "logging_steps", "save_steps", "cpu", "memory_gib"})
"""Parameters that a resumed training takes anew; all others are in the optimizer, the order of rows or the weights."""

Identity = Mapping[str, Any]


def identity(attempt: Attempt) -> Identity:
    """What must be equal where a training goes on: most of the spec, the base model and the data."""
    spec = attempt.spec.model_dump(mode="json", exclude=set(_MAY_CHANGE))
    data = {"base_model": attempt.base_model, "dataset": attempt.dataset, "fills": dict(attempt.fills)}
    return {**spec, **data, "columns": dict(attempt.columns), "excluded_lines": list(attempt.excluded_lines)}


def mark_complete(checkpoint: Path, what: Identity) -> None:
    """Say that ``checkpoint`` is whole; call it when every rank has written its files."""
    write_whole(checkpoint / COMPLETE, orjson.dumps({"identity": what, "sizes": _sizes(checkpoint)}))


def find_complete(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint of a run; none where there is none."""
    complete = [path for path in _checkpoints(checkpoints) if _is_complete(path)]
    return complete[-1] if complete else None


def remove_incomplete(checkpoints: Path) -> None:
    """Delete what was left half written: it would count among those that are kept."""
    for path in _checkpoints(checkpoints):
        if not _is_complete(path):
            shutil.rmtree(path)


def check_identity(checkpoint: Path, what: Identity) -> None:
    """Raise BadConfiguration where ``checkpoint`` belongs to another plan, naming what differs."""
    before = orjson.loads((checkpoint / COMPLETE).read_bytes())["identity"]
    now = orjson.loads(orjson.dumps(what))
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        named = ", ".join(_change(name, before.get(name), now.get(name)) for name in changed)
        raise BadConfiguration(f"the checkpoint cannot be gone on from, the plan has changed: {named}")


def require_the_same(chosen: Sequence[str | None]) -> None:
    """Raise LostPeer where the ranks would go on from different checkpoints: their steps and states would not agree.

    ``chosen``: what each rank goes on from, by rank. Machines with disks of their own may have fetched at two moments,
    between which a checkpoint came.
    """
    if len(set(chosen)) > 1:
        named = ", ".join(sorted({name or "the base model" for name in chosen}))
        raise LostPeer(f"the machines would go on from different checkpoints: {named}")


def _change(name: str, before: object, now: object) -> str:
    # Values of the form only: what stands in for a placeholder is the person's own text.
    return f"{name} {before} -> {now}" if isinstance(before, (int, float, str)) else name


def _checkpoints(folder: Path) -> list[Path]:
    found = folder.glob("checkpoint-*") if folder.is_dir() else []
    numbered = [path for path in found if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _is_complete(checkpoint: Path) -> bool:
    try:
        sizes = orjson.loads((checkpoint / COMPLETE).read_bytes())["sizes"]
    except (FileNotFoundError, orjson.JSONDecodeError):
        return False
    # More than is named may be there: where machines share no disk, each adds its own random state later.
    return bool(sizes.items() <= _sizes(checkpoint).items())


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = (path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(f".{COMPLETE}"))
    return {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files if path.name != COMPLETE}
