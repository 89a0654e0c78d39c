"""Whether this attempt should save and end. No torch here."""

import signal
from enum import IntEnum
from pathlib import Path
from types import FrameType

from training.trainer.exits import Ended, Interrupted, Stopped


class Wish(IntEnum):
    """What is wanted; where the ranks of a gang heard different things, the greatest holds."""

    GO_ON = 0
    INTERRUPT = 1
    """The place is wanted back: save a checkpoint; another attempt goes on from it."""
    STOP = 2
    """A person is content with what was learned: save the model."""

    def ended(self, words: str) -> Ended:
        """The exception that says so."""
        return Stopped(words) if self is Wish.STOP else Interrupted(words)


class StopWish:
    """A stop once the file ``stop`` is there; SIGTERM and SIGINT are a stop too, or an interruption in a cluster."""

    def __init__(self, stop: Path, *, is_interruptible: bool = False) -> None:
        self._stop = stop
        self._signal_means = Wish.INTERRUPT if is_interruptible else Wish.STOP
        self._heard = Wish.GO_ON

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as the wish, from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def wish(self) -> Wish:
        """What is wanted of this rank."""
        return Wish.STOP if self._stop.exists() else self._heard

    def check(self) -> None:
        """Raise Stopped or Interrupted where nothing was learned yet that could be saved."""
        if wish := self.wish():
            raise wish.ended("stopped before the first step")

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        self._heard = self._signal_means
