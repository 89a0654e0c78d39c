"""The states of runs, hosts and services: one vocabulary for tables, ports and cards."""

from enum import StrEnum


class RunState(StrEnum):
    """A run's life: ``queued -> pending -> running -> succeeded | failed | cancelled``."""

    QUEUED = "queued"
    """Wanted, not yet accepted by a backend."""
    PENDING = "pending"
    """Accepted by a backend; its processes are not up yet."""
    RUNNING = "running"
    SUSPENDED = "suspended"
    """Held back by a cluster's queue."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the state never changes again."""
        return self in FINAL_RUN_STATES


FINAL_RUN_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


def may_follow(state: RunState, following: RunState) -> bool:
    """Whether a run in ``state`` may change to ``following``; a final state never changes."""
    return not state.is_final and following is not state


class Wish(StrEnum):
    """What a host or a service should be."""

    UP = "up"
    DOWN = "down"


class HostState(StrEnum):
    """What a model server was found to be."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


class ServiceState(StrEnum):
    """What a service was found to be; ready means that it has answered a warm-up."""

    WAITING = "waiting"
    """For its host."""
    LOADING = "loading"
    READY = "ready"
    ASLEEP = "asleep"
    """Its host gave back what it computes with, and wakes when somebody asks something."""
    FAILED = "failed"
    STOPPED = "stopped"


class ModelKind(StrEnum):
    """Where a model of the catalogue comes from."""

    BASE = "base"
    TUNED = "tuned"


class ModelState(StrEnum):
    """Whether a model of the catalogue can be used."""

    FETCHING = "fetching"
    """A hub download is wanted or under way."""
    READY = "ready"
    FAILED = "failed"


class Role(StrEnum):
    """Who wrote a message of a thread."""

    USER = "user"
    ASSISTANT = "assistant"


class MessageState(StrEnum):
    """Whether a message's text is whole."""

    COMPLETE = "complete"
    STREAMING = "streaming"
