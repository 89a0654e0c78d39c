"""Whether this attempt should save and stop. No torch here."""

import signal
from pathlib import Path
from types import FrameType

from training.trainer.exits import Stopped


class StopWish:
    """Wanted once the file ``stop`` is there, or this process was sent SIGTERM or SIGINT."""

    def __init__(self, stop: Path) -> None:
        self._stop = stop
        self._was_signalled = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as the wish, from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def is_wanted(self) -> bool:
        """Whether to stop."""
        return self._was_signalled or self._stop.exists()

    def check(self) -> None:
        """Raise Stopped where nothing was learned yet that could be saved."""
        if self.is_wanted():
            raise Stopped("stopped before the first step")

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        self._was_signalled = True
