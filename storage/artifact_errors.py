"""What can go wrong with artifacts, and the table from the store's and the disk's own errors to it.

ArtifactError
├── TooLarge
├── NotOnThisDisk
├── Incomplete
├── NoRoom
└── StoreUnavailable
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class ArtifactError(Exception):
    """An artifact could not be kept or read."""

    code = "failed"
    """``artifact_error.<code>`` of the texts says it in a sentence."""


class TooLarge(ArtifactError):
    """A stream was longer than allowed; nothing of it is kept."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class NotOnThisDisk(ArtifactError):
    """The root is not a folder, so a key has no path."""


class Incomplete(ArtifactError):
    """A folder has no manifest, or is not what its manifest says."""

    code = "incomplete"


class NoRoom(ArtifactError):
    """This disk is full."""

    code = "no_room"


class StoreUnavailable(ArtifactError):
    """The bucket cannot be reached, or refuses us; the message has the store's own words."""

    code = "unavailable"


@contextmanager
def translated() -> Iterator[None]:
    """The store's own errors in our words. FileNotFoundError and what a stream raises itself pass."""
    try:
        yield
    except BaseError as error:
        # Behind the first line stands how the store's library looks inside.
        words = str(error).partition("\n")[0]
        if any(f"(os error {number})" in str(error) for number in _FULL):
            raise NoRoom(words) from error
        raise StoreUnavailable(words) from error


@contextmanager
def local_disk() -> Iterator[None]:
    """A full disk in our words; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom(str(error.strerror)) from error
