"""How an attempt ends: one table of exit codes, and the exceptions that lead to them. No torch here.

::

    Ended
    ├── BadData           the data cannot be trained on
    ├── BadConfiguration  the plan cannot be carried out
    ├── Diverged          the loss is infinite or not a number
    ├── LostPeer          the gang cannot go on together
    ├── Stopped           somebody asked for it
    └── Interrupted       the cluster wants the place back
"""

import errno
from collections.abc import Iterator
from enum import IntEnum

from training.runs import Reason


class Exit(IntEnum):
    """The exit codes of launcher and ranks. The numbers are an interface: Kubernetes' failure policy reads them."""

    SUCCEEDED = 0
    BUG = 1
    BAD_DATA = 10
    BAD_CONFIGURATION = 11
    OUT_OF_MEMORY = 12
    DISK_FULL = 13
    DIVERGED = 14
    STOPPED = 15
    LOST_PEER = 16
    KILLED = 17
    INTERRUPTED = 18

    @property
    def reason(self) -> Reason | None:
        """The reason that it stands for; none for a success."""
        return None if self is Exit.SUCCEEDED else Reason(self.name.lower())

    @property
    def is_failure(self) -> bool:
        """Whether something went wrong; a stop or an interruption was asked for."""
        return self not in (Exit.SUCCEEDED, Exit.STOPPED, Exit.INTERRUPTED)


class Ended(Exception):
    """The attempt ends here; the message is one line for a person, free of data rows."""

    exit = Exit.BUG


class BadData(Ended):
    """The data cannot be trained on."""

    exit = Exit.BAD_DATA


class BadConfiguration(Ended):
    """The plan cannot be carried out here."""

    exit = Exit.BAD_CONFIGURATION


class Diverged(Ended):
    """The loss became infinite or not a number."""

    exit = Exit.DIVERGED


class LostPeer(Ended):
    """The gang cannot go on together: the next attempt begins anew with all of it."""

    exit = Exit.LOST_PEER


class Stopped(Ended):
    """Somebody asked for it."""

    exit = Exit.STOPPED


class Interrupted(Ended):
    """The cluster wants the place back (a drain, a queue): a checkpoint is saved, and the next attempt goes on."""

    exit = Exit.INTERRUPTED


# Foreign words -> ours, looked for in the type's name and the message. Names rather than types: torch is not imported.
_TYPES = {"OutOfMemoryError": Exit.OUT_OF_MEMORY, "MemoryError": Exit.OUT_OF_MEMORY, "DistBackendError": Exit.LOST_PEER}
_WORDS = {
    "out of memory": Exit.OUT_OF_MEMORY,
    "can't allocate memory": Exit.OUT_OF_MEMORY,
    "cannot allocate memory": Exit.OUT_OF_MEMORY,
    "not enough memory": Exit.OUT_OF_MEMORY,
    "no space left on device": Exit.DISK_FULL,
    "disk quota exceeded": Exit.DISK_FULL,
    "pytorchstreamwriter failed writing file": Exit.DISK_FULL,
    "connection closed by peer": Exit.LOST_PEER,
    "connection reset by peer": Exit.LOST_PEER,
    "broken pipe": Exit.LOST_PEER,
}
_ERRNO = {errno.ENOSPC: Exit.DISK_FULL, errno.EDQUOT: Exit.DISK_FULL, errno.ENOMEM: Exit.OUT_OF_MEMORY}


def classify(error: BaseException) -> tuple[Exit, str]:
    """The exit that an exception means, and one line about it; what led to the exception is looked at too."""
    found = [(exit_, cause) for cause in _chain(error) if (exit_ := _classify_one(cause)) is not None]
    exit_, cause = found[0] if found else (Exit.BUG, error)
    return exit_, describe(cause)


def describe(error: BaseException, *, limit: int = 300) -> str:
    """An exception's message as one line of at most ``limit`` characters; its type too where it is not ours."""
    text = " ".join(str(error).split())
    line = text if isinstance(error, Ended) else f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _classify_one(error: BaseException) -> Exit | None:
    if isinstance(error, Ended):
        return error.exit
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return _ERRNO[error.errno]
    for base in type(error).__mro__:
        if base.__name__ in _TYPES:
            return _TYPES[base.__name__]
    if not isinstance(error, (RuntimeError, OSError)) and type(error).__name__ != "SafetensorError":
        return None
    message = str(error).lower()
    return next((exit_ for words, exit_ in _WORDS.items() if words in message), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
