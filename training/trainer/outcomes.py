"""How each rank ended, as it says itself, and what that makes of the gang. No torch here."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from training.layout import AttemptFolder, write_whole
from training.trainer.exits import Exit


@dataclass(frozen=True, kw_only=True)
class RankOutcome:
    """What a rank wrote: at its start without an exit, at its end with one."""

    rank: int
    pid: int
    at: float
    """Seconds since the epoch."""
    exit: Exit | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    exit: Exit
    detail: str | None = None


def write_rank(
    folder: AttemptFolder, rank: int, pid: int, exit_: Exit | None = None, detail: str | None = None
) -> None:
    """Write how rank ``rank`` is (no exit) or ended."""
    folder.ranks.mkdir(parents=True, exist_ok=True)
    outcome = RankOutcome(rank=rank, pid=pid, at=time.time(), exit=exit_, detail=detail)
    write_whole(folder.rank(rank), orjson.dumps(asdict(outcome)))


def read_ranks(folder: AttemptFolder) -> tuple[RankOutcome, ...]:
    """What the ranks wrote, by rank."""
    paths = sorted(folder.ranks.glob("*.json")) if folder.ranks.is_dir() else []
    return tuple(sorted((_read_rank(path) for path in paths), key=lambda outcome: outcome.rank))


def judge(ranks: Iterable[RankOutcome], *, torchrun_code: int, oom_kills: int, last_line: str | None) -> Outcome:
    """What the gang's end was: the first failure that a rank named itself, else a rank that was lost.

    Where all ranks say that they have succeeded, the gang has: torchrun only waits for the other machines then, and
    may be ended while it does. ``oom_kills``: how many processes the kernel killed for want of memory meanwhile.
    ``last_line``: of the log, said where not even one rank began.
    """
    ranks = tuple(ranks)
    named = sorted((rank for rank in ranks if rank.exit is not None), key=lambda rank: rank.at)
    failures = [rank for rank in named if rank.exit is not None and rank.exit.is_failure]
    for rank in failures:
        if rank.exit is not None and rank.exit is not Exit.LOST_PEER:
            return Outcome(exit=rank.exit, detail=rank.detail)
    lost = [rank.rank for rank in ranks if rank.exit is None]
    if lost and oom_kills:
        return Outcome(exit=Exit.OUT_OF_MEMORY, detail=f"the system killed process {lost[0]}: no memory was left")
    if lost:
        return Outcome(exit=Exit.LOST_PEER, detail=f"process {lost[0]} ended without a word")
    if failures:
        return Outcome(exit=Exit.LOST_PEER, detail=failures[0].detail)
    if not ranks:
        return Outcome(exit=Exit.BUG, detail=last_line or f"torchrun ended with code {torchrun_code}")
    for ended in (Exit.STOPPED, Exit.INTERRUPTED):
        if any(rank.exit is ended for rank in named):
            return Outcome(exit=ended)
    return Outcome(exit=Exit.SUCCEEDED)


def write_exit(folder: AttemptFolder, outcome: Outcome, *, node: int = 0) -> None:
    """Write how the attempt ended on machine ``node``, at once."""
    content = {**asdict(outcome), "exit": int(outcome.exit), "at": time.time()}
    write_whole(folder.exit_of(node), orjson.dumps(content))


def read_exit(folder: AttemptFolder, *, node: int = 0) -> Outcome | None:
    """How the attempt ended on machine ``node``; none while it has not."""
    try:
        return parse_exit(folder.exit_of(node).read_bytes())
    except FileNotFoundError:
        return None


def parse_exit(data: bytes) -> Outcome:
    """What ``write_exit`` wrote."""
    content = orjson.loads(data)
    return Outcome(exit=Exit(content["exit"]), detail=content["detail"])


def _read_rank(path: Path) -> RankOutcome:
    content = orjson.loads(path.read_bytes())
    exit_ = content.pop("exit")
    return RankOutcome(**content, exit=None if exit_ is None else Exit(exit_))
