"""What a trainer says while it trains: JSON lines in a file, read without waiting. No torch here.

An event is one of::

    {"event": "begin", "step": 0, "steps": 12}                                   after the model is loaded
    {"event": "step", "step": 3, "seconds_left": 41.5}                           at most one a second
    {"event": "point", "step": 4, "training_loss": 2.1, "learning_rate": 0.001}  or "validation_loss"

A resumed attempt begins at the step of its checkpoint: points that an earlier attempt made after it are void.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from training.runs import AttemptProgress, Point

Event = Mapping[str, Any]


@dataclass(kw_only=True)
class ProgressFile:
    """A growing file of events; each :meth:`read` parses only what was added. It has begun once it has a ``begin``."""

    path: Path
    offset: int = 0
    has_begun: bool = False
    begin_step: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    points: dict[int, Point] = field(default_factory=dict)

    def read(self) -> None:
        """Take in the events that were added; a last line that is not whole yet is left for the next time."""
        for event in self._new_events():
            self._take(event)

    def _new_events(self) -> Iterator[Event]:
        try:
            if self.path.stat().st_size <= self.offset:
                return
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        yield from (orjson.loads(line) for line in whole.splitlines() if line.strip())

    def _take(self, event: Event) -> None:
        step = int(event["step"])
        self.step = step
        if event["event"] == "begin":
            self.has_begun, self.begin_step, self.steps = True, step, int(event["steps"])
        elif event["event"] == "step":
            self.seconds_left = event["seconds_left"]
        elif event["event"] == "point":
            self._take_point(step, event)

    def _take_point(self, step: int, event: Event) -> None:
        found = {name: event[name] for name in ("training_loss", "validation_loss", "learning_rate") if name in event}
        self.points[step] = replace(self.points.get(step, Point(step=step)), **found)


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
