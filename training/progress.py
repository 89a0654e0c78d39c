"""What a trainer says while it trains: JSON lines in a file, read without waiting. No torch here.

An event is one of::

    {"event": "begin", "step": 0, "steps": 12}                                   after the model is loaded
    {"event": "step", "step": 3, "seconds_left": 41.5}                           at most one a second
    {"event": "point", "step": 4, "training_loss": 2.1, "learning_rate": 0.001}  or "validation_loss"

A resumed attempt begins at the step of its checkpoint: points that an earlier attempt made after it are void.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from training.runs import AttemptProgress, Point

Event = Mapping[str, Any]


@dataclass(kw_only=True)
class ProgressFile:
    """A growing file of events, of which each byte is read once. It has begun once it has a ``begin``."""

    offset: int = 0
    """How many bytes were taken in."""
    has_begun: bool = False
    begin_step: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    points: dict[int, Point] = field(default_factory=dict)

    def take(self, added: bytes) -> None:
        """Take in what was added after ``offset``; a last line that is not whole yet is left for the next time."""
        whole = added[: added.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            if line.strip():
                self._take(orjson.loads(line))

    def _take(self, event: Event) -> None:
        step = int(event["step"])
        self.step = step
        if event["event"] == "begin":
            self._begin(step, int(event["steps"]))
        elif event["event"] == "step":
            self.seconds_left = event["seconds_left"]
        elif event["event"] == "point":
            self._take_point(step, event)

    def _begin(self, step: int, steps: int) -> None:
        if not self.has_begun:
            self.has_begun, self.begin_step = True, step
        # A pod that a queue took away and gave back begins again, in the same file.
        self.steps, self.points = steps, {at: point for at, point in self.points.items() if at <= step}

    def _take_point(self, step: int, event: Event) -> None:
        found = {name: event[name] for name in ("training_loss", "validation_loss", "learning_rate") if name in event}
        self.points[step] = replace(self.points.get(step, Point(step=step)), **found)


def read_added(path: Path, start: int) -> bytes:
    """The bytes of a growing file from ``start`` on; none where there is no such file."""
    try:
        if path.stat().st_size <= start:
            return b""
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""


def join(files: Iterable[ProgressFile]) -> AttemptProgress:
    """The progress of the last of a run's attempts, with the points of those before it that still hold."""
    points: dict[int, Point] = {}
    last: ProgressFile | None = None
    for file in files:
        last = file
        if file.has_begun:
            points = {step: point for step, point in points.items() if step <= file.begin_step} | file.points
    if last is None:
        return AttemptProgress()
    return AttemptProgress(
        step=last.step,
        steps=last.steps,
        seconds_left=last.seconds_left,
        points=tuple(points[step] for step in sorted(points)),
    )
