"""Who may work on a home: one server, and one process that runs the loops. A killed process holds nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bot.settings import Settings
from bot.stopping import CannotGoOnError


@contextmanager
def server_lock(settings: Settings) -> Iterator[None]:
    """Be the one server of the home. Raises CannotGoOnError(``home_in_use``) with the other's process id."""
    lock = HomeLock(settings.server_lock)
    if not lock.try_acquire():
        raise CannotGoOnError("home_in_use", home=str(settings.home), pid=lock.holder() or "?")
    try:
        yield
    finally:
        lock.release()


class HomeLock:
    """A file lock that says who holds it. It is free again when its process ends, however that ends."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, thread_local=False)
        # Beside the lock file, not in it: whoever tries the lock empties that.
        self._pid_path = path.with_suffix(".pid")

    @property
    def is_held(self) -> bool:
        """Whether we hold it."""
        return self._lock.is_locked

    def try_acquire(self) -> bool:
        """Take it if it is free; at once either way. Taking it again changes nothing."""
        if self.is_held:
            return True
        self._pid_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        self._pid_path.write_text(str(os.getpid()))
        return True

    def release(self) -> None:
        """Give it back; nothing happens where we do not hold it."""
        if self.is_held:
            self._pid_path.unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> int | None:
        """The process id of who holds it, where it is known."""
        with suppress(OSError, ValueError):
            return int(self._pid_path.read_text())
        return None


def loops_lock(settings: Settings) -> HomeLock:
    """The lock of whoever runs the loops on this home."""
    return HomeLock(settings.loops_lock)
