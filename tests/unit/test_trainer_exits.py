import errno

import pytest

from training.runs import Reason
from training.trainer.exits import BadConfiguration, BadData, Diverged, Ended, Exit, Stopped, classify, describe
from training.trainer.outcomes import Outcome, RankOutcome, judge

SEEN_BY_A_CLUSTER = {Reason.NODE_LOST, Reason.UNSCHEDULABLE, Reason.NO_IMAGE, Reason.REFUSED, Reason.DEADLINE}
SEEN_BY_THE_SERVER = {Reason.NO_MODEL}


def test_every_reason_that_a_trainer_can_tell_has_one_exit_code() -> None:
    assert {exit_.reason for exit_ in Exit} == {None, *Reason} - SEEN_BY_A_CLUSTER - SEEN_BY_THE_SERVER
    assert [int(exit_) for exit_ in Exit] == sorted({int(exit_) for exit_ in Exit})


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadData("no rows"), Exit.BAD_DATA),
        (BadConfiguration("fp16"), Exit.BAD_CONFIGURATION),
        (Diverged("step 3"), Exit.DIVERGED),
        (Stopped("early"), Exit.STOPPED),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Exit.OUT_OF_MEMORY),
        (MemoryError(), Exit.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), Exit.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Exit.DISK_FULL),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), Exit.DISK_FULL),
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]:3"), Exit.LOST_PEER),
        (caused(RuntimeError("saving failed"), OSError(errno.ENOSPC, "full")), Exit.DISK_FULL),
        (ValueError("out of memory is only a word here"), Exit.BUG),
        (KeyError("input_ids"), Exit.BUG),
    ],
)
def test_an_exception_is_classified(error: Exception, expected: Exit) -> None:
    assert classify(error)[0] is expected


def test_a_description_is_one_short_line() -> None:
    assert describe(RuntimeError("a\nb\n\n  c")) == "RuntimeError: a b c"
    assert describe(Ended("plain words")) == "plain words"
    assert len(describe(RuntimeError("x" * 1000))) == 300


def rank(number: int, exit_: Exit | None, at: float = 0, detail: str | None = None) -> RankOutcome:
    return RankOutcome(rank=number, pid=100 + number, at=at, exit=exit_, detail=detail)


@pytest.mark.parametrize(
    ("ranks", "code", "oom_kills", "expected"),
    [
        ([rank(0, Exit.SUCCEEDED), rank(1, Exit.SUCCEEDED)], 0, 0, Outcome(exit=Exit.SUCCEEDED)),
        ([rank(0, Exit.STOPPED), rank(1, Exit.STOPPED)], 0, 0, Outcome(exit=Exit.STOPPED)),
        (
            [rank(0, Exit.BAD_DATA, at=2, detail="second"), rank(1, Exit.DIVERGED, at=1, detail="first")],
            1,
            0,
            Outcome(exit=Exit.DIVERGED, detail="first"),
        ),
        (
            [rank(0, Exit.LOST_PEER, at=1, detail="peer"), rank(1, Exit.OUT_OF_MEMORY, at=2, detail="memory")],
            1,
            0,
            Outcome(exit=Exit.OUT_OF_MEMORY, detail="memory"),
        ),
        (
            [rank(0, Exit.LOST_PEER, detail="peer"), rank(1, None)],
            1,
            0,
            Outcome(exit=Exit.LOST_PEER, detail="process 1 ended without a word"),
        ),
        (
            [rank(0, None)],
            1,
            1,
            Outcome(exit=Exit.OUT_OF_MEMORY, detail="the system killed process 0: no memory was left"),
        ),
        (
            [rank(0, Exit.STOPPED), rank(1, None)],
            1,
            0,
            Outcome(exit=Exit.LOST_PEER, detail="process 1 ended without a word"),
        ),
        ([], 1, 0, Outcome(exit=Exit.BUG, detail="ModuleNotFoundError: No module named 'torch'")),
        # A SIGTERM that comes while torchrun waits for the other machines ends torchrun alone.
        ([rank(0, Exit.SUCCEEDED)], 1, 0, Outcome(exit=Exit.SUCCEEDED)),
    ],
)
def test_the_gang_ends_as_its_first_failure_says(
    ranks: list[RankOutcome], code: int, oom_kills: int, expected: Outcome
) -> None:
    last_line = "ModuleNotFoundError: No module named 'torch'"
    assert judge(ranks, torchrun_code=code, oom_kills=oom_kills, last_line=last_line) == expected
