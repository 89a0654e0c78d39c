"""The port to whatever runs trainings, and its errors.

::

    RunError
    ├── NoCapacity          the run stays queued and is submitted again later
    └── BackendUnavailable  nothing is known for now; try again later
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from storage.states import RunState
from training.spec import TrainingSpec


class RunError(Exception):
    """The backend could not do it."""


class NoCapacity(RunError):
    """The backend is full: another run goes first."""


class BackendUnavailable(RunError):
    """The backend does not answer."""


class Reason(StrEnum):
    """Why a run ended otherwise than well; each has its sentence and its remedy in the texts."""

    BAD_DATA = "bad_data"
    BAD_CONFIGURATION = "bad_configuration"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    DIVERGED = "diverged"
    """The loss became infinite or not a number."""
    STOPPED = "stopped"
    """Somebody asked for it; what was learned is saved."""
    LOST_PEER = "lost_peer"
    """A process of the gang was lost: the next attempt goes on from the checkpoint."""
    KILLED = "killed"
    """The launcher itself vanished without a word (killed, or the machine restarted)."""
    BUG = "bug"


class AttemptId(NamedTuple):
    """A submission: the run's id and the attempt's number, from 1."""

    run_id: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Everything a backend needs to start a run once. Artifacts are keys below the one artifact root."""

    id: AttemptId
    spec: TrainingSpec
    base_model: str
    """A folder with the checkpoint (absolute path), or ``artifact:<key>``."""
    dataset: str
    """The key of the data set version's folder."""
    columns: Mapping[str, str]
    """System field -> field of the file."""
    fills: Mapping[str, str]
    """Placeholder -> what stands in its place."""
    excluded_lines: tuple[int, ...] = ()
    """Rows that the person left out, as the check numbered them."""
    model: str
    """The key of the folder that the trained model goes to: ``models/<model id>``."""
    resumes_from: str | None = None
    """The run whose newest checkpoint is the beginning, where this run has none of its own."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a run's curves, at an optimizer step (from 1)."""

    step: int
    training_loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptProgress:
    """How far an attempt is."""

    step: int = 0
    steps: int = 0
    """All steps; 0 while unknown."""
    seconds_left: float | None = None
    points: tuple[Point, ...] = ()
    """All points so far, by step."""


@dataclass(frozen=True, kw_only=True)
class AttemptStatus:
    """What was found of an attempt."""

    state: RunState
    progress: AttemptProgress = field(default_factory=AttemptProgress)
    reason: Reason | None = None
    detail: str | None = None
    """The reason's own words, one line, free of data rows."""
    has_model: bool = False
    """Whether the model's folder is complete: also after a stop, where something was learned."""


class RunBackend(Protocol):
    """Runs attempts somewhere. Every call is safe to repeat; none is inside a database transaction."""

    def submit(self, attempt: Attempt) -> None:
        """Start it; one that was submitted before is left as it is. Raises NoCapacity."""

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        """All attempts that are ours and not deleted, in one go."""

    def cancel(self, attempt: AttemptId) -> None:
        """Ask it to save and stop; an unknown or ended one is left as it is."""

    def logs(self, attempt: AttemptId, *, last_lines: int) -> Iterator[str]:
        """The log's last lines, oldest first; none of an unknown attempt."""

    def delete(self, attempt: AttemptId) -> None:
        """Forget an attempt and its files; one that still runs is killed."""
