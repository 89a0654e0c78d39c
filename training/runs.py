"""The port to whatever runs trainings, and its errors.

::

    RunError
    ├── NoCapacity          the run stays queued and is submitted again later
    ├── Preparing           what it needs is on its way: submitted again later, others meanwhile
    ├── Refused             it will never be taken as it is
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


class Preparing(RunError):
    """What it needs is on its way there; the message is the name of it."""


class Refused(RunError):
    """The backend does not take it as it is; the message says why."""


class BackendUnavailable(RunError):
    """The backend does not answer."""


class CannotLaunch(BackendUnavailable):
    """This machine cannot launch a training now."""

    def __init__(self, waiting: "Waiting") -> None:
        super().__init__(waiting.code)
        self.waiting = waiting


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
    INTERRUPTED = "interrupted"
    """A cluster wanted the place back (a drain, a queue): the next attempt goes on from the checkpoint."""
    NODE_LOST = "node_lost"
    """A pod or its node is gone: the next attempt goes on from the checkpoint."""
    UNSCHEDULABLE = "unschedulable"
    """A cluster found no place for it for too long."""
    NO_IMAGE = "no_image"
    """A cluster could not fetch the image."""
    REFUSED = "refused"
    """A cluster takes the job and refuses its pods: a quota, a policy."""
    DEADLINE = "deadline"
    """It took longer than allowed."""
    KILLED = "killed"
    """The launcher itself vanished without a word (killed, or the machine restarted)."""
    NO_MODEL = "no_model"
    """The training ended well, and its model is not whole."""
    BUG = "bug"

    @property
    def is_loss(self) -> bool:
        """Whether the run did nothing wrong, so that its gang is submitted again."""
        return self in (Reason.LOST_PEER, Reason.NODE_LOST, Reason.INTERRUPTED)


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
    place: str | None = None
    """Where it runs, of several places; none: the only one, or the default."""
    about: Mapping[str, str] = field(default_factory=dict)
    """For people who look at a cluster: ``experiment``, ``task``, ``owner``."""


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
class Waiting:
    """What a pending attempt waits for."""

    code: str
    """Its sentence is the text ``run.waiting.<code>``."""
    params: Mapping[str, str | int] = field(default_factory=dict)
    words: str = ""
    """The cluster's or the system's own, in English; empty where it has none."""


@dataclass(frozen=True, kw_only=True)
class AttemptStatus:
    """What was found of an attempt."""

    state: RunState
    progress: AttemptProgress = field(default_factory=AttemptProgress)
    reason: Reason | None = None
    detail: str | None = None
    """The reason's own words, one line, free of data rows."""
    waiting: Waiting | None = None
    """Of one that is pending or suspended."""
    has_model: bool = False
    """Whether the model's folder is complete: also after a stop, where something was learned."""


class Observed(dict[AttemptId, AttemptStatus]):
    """What was found at several places. An attempt that is not in it may still be at one of those in ``away``."""

    def __init__(self, found: Mapping[AttemptId, AttemptStatus], *, away: frozenset[str]) -> None:
        super().__init__(found)
        self.away = away
        """Names of places that do not answer for now."""


class RunBackend(Protocol):
    """Runs attempts somewhere. Every call is safe to repeat; none is inside a database transaction."""

    def submit(self, attempt: Attempt) -> None:
        """Start it; one that was submitted before is left as it is. Raises NoCapacity."""

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        """All attempts that are ours and not deleted, in one go; an Observed where some may be out of sight."""

    def cancel(self, attempt: AttemptId) -> None:
        """Ask it to save and stop; an unknown or ended one is left as it is."""

    def logs(self, attempt: AttemptId, *, last_lines: int, node: int = 0) -> Iterator[str]:
        """The last lines of what machine ``node`` (from 0) printed, oldest first; none of an unknown attempt."""

    def release(self, attempt: AttemptId) -> None:
        """Its end is on record: give back what it may still hold, as a lost node's pods do. Files and logs stay."""

    def delete(self, attempt: AttemptId) -> None:
        """Forget an attempt and its files; one that still runs is killed."""
