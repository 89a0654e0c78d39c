"""Processes of this machine that outlive us: recognised again by more than a number that others may reuse."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class ProcessMark:
    """A process for good: its number, when it started, and in which life of the machine."""

    pid: int
    started_ticks: int
    """Clock ticks from the machine's start: unlike a time of day, no clock that is set changes them."""
    boot: str


class _Stat(NamedTuple):
    state: str
    session: int
    started_ticks: int


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a living process; None when there is none."""
    stat = _stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    return ProcessMark(pid=pid, started_ticks=stat.started_ticks, boot=_boot())


def is_alive(mark: ProcessMark) -> bool:
    """Whether the very process is there; one that ended and waits to be reaped is not. Takes 50 microseconds."""
    reap(mark.pid)
    return mark_of(mark.pid) == mark


def reap(pid: int) -> None:
    """Take note of the end of a child of ours; anybody else's process is left."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def session_of(leader: ProcessMark) -> tuple[int, ...]:
    """The living processes of the session that ``leader`` began, itself included, also after it was killed."""
    if leader.boot != _boot():
        return ()
    present = _stat(leader.pid)
    if present is not None and present.started_ticks != leader.started_ticks:
        # The number was given to another process: only after all of the session had ended.
        return ()
    found = ((pid, _stat(pid)) for pid in _pids())
    return tuple(
        pid
        for pid, stat in found
        if stat and stat.session == leader.pid and stat.state not in "ZX" and stat.started_ticks >= leader.started_ticks
    )


def marked_processes(name: str, value: str) -> tuple[int, ...]:
    """The living processes that were started with ``name=value`` in their environment, and all of their sessions.

    Our own session is never among them.
    """
    wanted = f"{name}={value}".encode()
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid)) and stat.state not in "ZX"}
    sessions = {stat.session for pid, stat in stats.items() if wanted in _environment(pid)} - {os.getsid(0)}
    return tuple(pid for pid, stat in stats.items() if stat.session in sessions)


def spawn(arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output going to ``log``; returns its number.

    Not ``subprocess``: its objects complain when they are dropped before their process, and ours shall outlive us.
    """
    output = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    return os.posix_spawn(
        arguments[0],
        list(arguments),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            output,
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE],
    )


def end_all(find: Callable[[], tuple[int, ...]], *, grace_s: float) -> None:
    """End the processes that ``find`` finds: politely, and after ``grace_s`` seconds by force.

    Raises TimeoutError where one stays: it waits for a device that does not answer.
    """
    for signal_number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        for pid in find():
            with suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        if _are_gone(find, patience_s):
            return
    raise TimeoutError(f"processes cannot be killed: {find()}")


def _are_gone(find: Callable[[], tuple[int, ...]], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while find():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name in brackets, may hold anything; proc_pid_stat(5) counts from 1.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], session=int(fields[3]), started_ticks=int(fields[19]))


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


@cache
def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
