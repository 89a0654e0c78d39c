"""Writes the events that :mod:`training.progress` reads. No torch here."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

_WINDOW = 20
"""How many steps the time left is judged by."""


class ProgressWriter:
    """Appends events to ``path``, each line written at once."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._ends: deque[tuple[int, float]] = deque(maxlen=_WINDOW + 1)
        self._written_at = float("-inf")

    def begin(self, step: int, steps: int) -> None:
        """The model is loaded; training goes on from ``step`` to ``steps``."""
        self._ends.append((step, self._clock()))
        self._write({"event": "begin", "step": step, "steps": steps})

    def step(self, step: int, steps: int) -> None:
        """A step has ended; written at most once a second, and always for the last one."""
        now = self._clock()
        self._ends.append((step, now))
        if now - self._written_at >= 1 or step >= steps:
            self._written_at = now
            self._write({"event": "step", "step": step, "seconds_left": self._seconds_left(steps)})

    def point(self, step: int, **values: float) -> None:
        """A point of the curves: ``training_loss``, ``validation_loss``, ``learning_rate``."""
        self._write({"event": "point", "step": step, **values})

    def _seconds_left(self, steps: int) -> float | None:
        (first, began), (last, ended) = self._ends[0], self._ends[-1]
        if last == first:
            return None
        return round((ended - began) / (last - first) * (steps - last), 1)

    def _write(self, event: dict[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(orjson.dumps(event) + b"\n")
