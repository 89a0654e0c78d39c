"""Who may work: one server on a home, and one process that runs the loops. A killed process holds nothing.

Who runs the loops is settled by a file of the home on SQLite, and by the database itself on PostgreSQL, which processes
of several machines may share.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil
import structlog
from filelock import FileLock, Timeout

from bot.settings import Settings
from bot.stopping import CannotGoOnError
from storage.lease import Lease
from storage.store import Store

log = structlog.get_logger(__name__)


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
        """Take it if it is free; at once either way. Taking it again changes nothing. Raises OSError."""
        if self.is_held:
            return True
        self._pid_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        try:
            self._pid_path.write_text(str(os.getpid()))
        except OSError:
            self._lock.release()
            raise
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


class Turn(Protocol):
    """The turn to run the loops: ``storage.lease.Lease``, or :class:`TurnOfHome`."""

    @property
    def is_held(self) -> bool:
        """Whether it is ours, as far as we know."""

    async def try_acquire(self) -> bool:
        """Take it if it is free. Taking it again changes nothing."""

    async def lost(self) -> None:
        """Wait until it is ours no more, though we have not given it back."""

    async def release(self) -> None:
        """Give it back; nothing happens where it is not ours."""

    async def is_taken(self) -> bool:
        """Whether it is anybody's."""


class TurnOfHome:
    """A file lock of the home, which nobody loses."""

    def __init__(self, path: Path) -> None:
        self._lock = HomeLock(path)

    @property
    def is_held(self) -> bool:
        """Whether it is ours."""
        return self._lock.is_held

    async def try_acquire(self) -> bool:
        """Take it if it is free, and the home can be written to."""
        try:
            return self._lock.try_acquire()
        except OSError as error:
            log.warning("turn.not_taken", error=str(error))
            return False

    async def lost(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give it back."""
        self._lock.release()

    async def is_taken(self) -> bool:
        """Whether a process of this home, ours or another, has it."""
        holder = self._lock.holder()
        return holder is not None and psutil.pid_exists(holder)


def loops_turn(settings: Settings, store: Store) -> Turn:
    """The turn to run the loops on a database."""
    if store.engine.dialect.name == "sqlite":
        return TurnOfHome(settings.loops_lock)
    return Lease(store.engine)
