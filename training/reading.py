"""Reads what runs write below an artifact root: progress of many by turns, at a bounded rate, the end of a log, and
how a machine ended."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from storage.files import ArtifactFiles
from training.layout import AttemptFolder, run_folder
from training.progress import ProgressFile, join
from training.runs import Attempt, AttemptId, AttemptProgress
from training.trainer import request
from training.trainer.outcomes import Outcome, parse_exit

MOST_READS_A_SECOND = 20
"""How many attempts' progress is looked at, however many there are: they take turns."""
LONGEST_LINE_BYTES = 400
_ROOT = PurePosixPath("/")


def key(path: Path) -> str:
    """The key of a path that :func:`folder_of` gave."""
    return path.relative_to(_ROOT).as_posix()


def folder_of(attempt: AttemptId) -> AttemptFolder:
    """The files of an attempt, as below a root that is no folder of this disk: for their keys."""
    return run_folder(Path(_ROOT), attempt.run_id).attempt(attempt.number)


def read_log(files: ArtifactFiles, attempt: AttemptId, *, last_lines: int, node: int) -> list[str]:
    """The last lines of what a machine printed; none where nothing of it is there."""
    data = files.read_end(key(folder_of(attempt).log_of(node)), last_lines * LONGEST_LINE_BYTES)
    return data.decode(errors="replace").splitlines()[-last_lines:]


def read_request(files: ArtifactFiles, attempt: AttemptId) -> Attempt | None:
    """The attempt as it was submitted; None where nothing of it is there."""
    try:
        return request.from_json(files.read(key(folder_of(attempt).request)))
    except FileNotFoundError:
        return None


def read_outcome(files: ArtifactFiles, attempt: AttemptId, node: int) -> Outcome | None:
    """How an attempt ended on a machine, as it said itself; None where it has said nothing."""
    try:
        return parse_exit(files.read(key(folder_of(attempt).exit_of(node))))
    except FileNotFoundError:
        return None


class ProgressReader:
    """Knows how far attempts are, and reads only what was added."""

    def __init__(self, files: ArtifactFiles) -> None:
        self._files = files
        self._known: dict[AttemptId, ProgressFile] = {}
        self._read_at: dict[AttemptId, float] = {}

    def read_some(self, live: Sequence[AttemptId]) -> None:
        """Look at some of the live attempts, those that were not looked at for longest first."""
        now = time.monotonic()
        # A copy: another thread may forget one meanwhile.
        recent = sum(now - at < 1 for at in list(self._read_at.values()))
        due = sorted(live, key=lambda each: self._read_at.get(each, 0.0))
        self.read(due[: max(0, MOST_READS_A_SECOND - recent)])

    def read(self, attempts: Iterable[AttemptId]) -> None:
        """Look at these."""
        for attempt in attempts:
            file = self._known.setdefault(attempt, ProgressFile())
            file.take(self._files.read_from(key(folder_of(attempt).progress), file.offset))
            self._read_at[attempt] = time.monotonic()

    def has_begun(self, attempt: AttemptId) -> bool:
        """Whether it has begun to train, as far as was read."""
        file = self._known.get(attempt)
        return file is not None and file.has_begun

    def joined(self, attempt: AttemptId) -> AttemptProgress:
        """How far it is, with the points of the attempts before it that still hold."""
        earlier = [AttemptId(attempt.run_id, number) for number in range(1, attempt.number)]
        self.read(each for each in earlier if each not in self._known)
        return join(self._known.get(each, ProgressFile()) for each in (*earlier, attempt))

    def forget(self, attempt: AttemptId) -> None:
        """It is deleted."""
        self._known.pop(attempt, None)
        self._read_at.pop(attempt, None)
