"""Where the files of a run are, below the artifact root.

::

    runs/<run id>/
        launch.lock          held by the launcher of the attempt that is alive: a run is never launched twice
        checkpoints/         checkpoint-<step>/, shared by all attempts of the run
        attempt-<number>/
            request.json     the attempt as it was submitted
            launcher.json    who launched it; there from the moment it began
            progress.jsonl   one JSON line an event (training.progress)
            log.txt          what the ranks printed
            stop             there when the attempt should save and stop
            ranks/<rank>.json   how each rank is or ended (training.trainer.outcomes)
            exit.json        how the attempt ended; written last
            log-<node>.txt, exit-<node>.json   of the other machines of a gang, from 1
    models/<model id>/       the trained model; complete when its manifest is there
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from training.runs import AttemptId

_ATTEMPT = re.compile(r"attempt-([1-9]\d*)")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class AttemptFolder:
    """The files of one attempt."""

    path: Path

    @property
    def request(self) -> Path:
        """The attempt as it was submitted."""
        return self.path / "request.json"

    @property
    def launcher(self) -> Path:
        """Who launched it."""
        return self.path / "launcher.json"

    @property
    def progress(self) -> Path:
        """Its events, a JSON line each."""
        return self.path / "progress.jsonl"

    @property
    def log(self) -> Path:
        """What was printed."""
        return self.path / "log.txt"

    @property
    def stop(self) -> Path:
        """There when it should save and stop."""
        return self.path / "stop"

    @property
    def exit(self) -> Path:
        """How it ended."""
        return self.path / "exit.json"

    def log_of(self, node: int) -> Path:
        """What the ranks of machine ``node`` (from 0) printed."""
        return self.log if node == 0 else self.path / f"log-{node}.txt"

    def exit_of(self, node: int) -> Path:
        """How it ended on machine ``node`` (from 0)."""
        return self.exit if node == 0 else self.path / f"exit-{node}.json"

    @property
    def ranks(self) -> Path:
        """The folder of the ranks' own words."""
        return self.path / "ranks"

    def rank(self, rank: int) -> Path:
        """How rank ``rank`` (from 0) is or ended."""
        return self.ranks / f"{rank}.json"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the launcher that is alive."""
        return self.path / "launch.lock"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def attempt(self, number: int) -> AttemptFolder:
        """The files of attempt ``number``, whether they are there or not."""
        return AttemptFolder(path=self.path / f"attempt-{number}")

    def attempts(self) -> tuple[int, ...]:
        """The numbers of the attempts that were submitted, ascending."""
        names = [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []
        matches = [match for match in map(_ATTEMPT.fullmatch, names) if match]
        numbers = sorted(int(match.group(1)) for match in matches)
        return tuple(number for number in numbers if self.attempt(number).request.is_file())


def run_folder(root: Path, run_id: str) -> RunFolder:
    """The folder of a run below the artifact root. An id that is no plain name raises a ValueError."""
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"no run id: {run_id!r}")
    return RunFolder(path=root / "runs" / run_id)


def attempt_folder(root: Path, attempt: AttemptId) -> AttemptFolder:
    """The folder of an attempt below the artifact root."""
    return run_folder(root, attempt.run_id).attempt(attempt.number)


def find_attempts(root: Path) -> tuple[AttemptId, ...]:
    """All attempts that were submitted below the artifact root, by run and number."""
    runs = root / "runs"
    names = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
    run_ids = [name for name in names if _RUN_ID.fullmatch(name)]
    return tuple(AttemptId(run_id, number) for run_id in run_ids for number in run_folder(root, run_id).attempts())


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file at once: a reader sees the old bytes or the new ones, never half."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
