"""What every run backend does: the real ones and the fake pass the same suite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pytest

from storage.states import RunState
from training.runs import Attempt, AttemptId, AttemptStatus, NoCapacity, Reason, RunBackend


class Stage(Protocol):
    """A backend, and attempts made for it."""

    @property
    def backend(self) -> RunBackend: ...

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        """One that trains a few steps, or many (``is_long``), or finds nothing to learn in its data (``is_bad``)."""

    def look(self) -> Mapping[AttemptId, AttemptStatus]:
        """What is observed, as soon as the backend answers."""

    def wait(self, attempt: AttemptId, condition: Callable[[AttemptStatus], bool]) -> AttemptStatus:
        """Let time go by until the condition holds, and return what is observed then; fail after a while."""


def has_ended(status: AttemptStatus) -> bool:
    return status.state.is_final


def has_learned(status: AttemptStatus) -> bool:
    return status.state is RunState.RUNNING and len(status.progress.points) > 0


class RunBackendContract:
    """Subclass it with a fixture ``stage``."""

    def test_an_attempt_from_submission_to_model(self, stage: Stage) -> None:
        attempt = stage.attempt("whole")
        stage.backend.submit(attempt)
        first = stage.look()[attempt.id]
        assert first.state in (RunState.PENDING, RunState.RUNNING)

        status = stage.wait(attempt.id, has_ended)
        assert (status.state, status.reason, status.has_model) == (RunState.SUCCEEDED, None, True)
        steps = [point.step for point in status.progress.points]
        assert status.progress.step == status.progress.steps == steps[-1]
        assert steps == sorted(set(steps))
        assert all(point.training_loss and point.training_loss > 0 for point in status.progress.points)

        stage.backend.submit(attempt)
        stage.backend.cancel(attempt.id)
        assert stage.look()[attempt.id] == status

        lines = list(stage.backend.logs(attempt.id, last_lines=1000))
        assert any("step 1 of" in line for line in lines)
        assert list(stage.backend.logs(attempt.id, last_lines=2)) == lines[-2:]
        assert list(stage.backend.logs(attempt.id, last_lines=0)) == []

        stage.backend.delete(attempt.id)
        assert attempt.id not in stage.look()
        assert list(stage.backend.logs(attempt.id, last_lines=10)) == []

    def test_stopped_then_the_next(self, stage: Stage) -> None:
        running, following = stage.attempt("running", is_long=True), stage.attempt("following")
        stage.backend.submit(running)
        stage.backend.submit(running)
        assert set(stage.look()) == {running.id}

        stage.wait(running.id, has_learned)
        stage.backend.cancel(running.id)
        stage.backend.cancel(running.id)
        stopped = stage.wait(running.id, has_ended)
        assert (stopped.state, stopped.reason) == (RunState.CANCELLED, Reason.STOPPED), stopped
        assert stopped.has_model
        assert 0 < stopped.progress.step < stopped.progress.steps
        stage.backend.release(running.id)
        assert stage.look()[running.id] == stopped

        stage.backend.submit(following)
        stage.backend.cancel(following.id)
        unbegun = stage.wait(following.id, has_ended)
        assert (unbegun.state, unbegun.reason, unbegun.has_model) == (RunState.CANCELLED, Reason.STOPPED, False)
        assert unbegun.progress.points == ()

    def test_a_running_attempt_deleted(self, stage: Stage) -> None:
        attempt = stage.attempt("deleted", is_long=True)
        stage.backend.submit(attempt)
        stage.wait(attempt.id, has_learned)
        stage.backend.delete(attempt.id)
        stage.backend.delete(attempt.id)
        assert stage.look() == {}
        # Its place is free again, and its name too.
        stage.backend.submit(attempt)
        assert set(stage.look()) == {attempt.id}
        stage.backend.delete(attempt.id)

    def test_a_failure_says_why(self, stage: Stage) -> None:
        attempt = stage.attempt("bad", is_bad=True)
        stage.backend.submit(attempt)
        status = stage.wait(attempt.id, has_ended)
        assert (status.state, status.reason, status.has_model) == (RunState.FAILED, Reason.BAD_DATA, False)
        assert status.detail
        assert "\n" not in status.detail

    def test_an_unknown_attempt_is_no_error(self, stage: Stage) -> None:
        unknown = AttemptId("never", 1)
        stage.backend.cancel(unknown)
        stage.backend.release(unknown)
        stage.backend.delete(unknown)
        assert list(stage.backend.logs(unknown, last_lines=5)) == []
        assert stage.look() == {}


class OneAtATimeContract:
    """Of a backend with room for one attempt: whoever has a cluster leaves that to the cluster."""

    def test_a_second_one_has_to_wait(self, stage: Stage) -> None:
        running, following = stage.attempt("running", is_long=True), stage.attempt("following")
        stage.backend.submit(running)
        with pytest.raises(NoCapacity):
            stage.backend.submit(following)
        assert set(stage.look()) == {running.id}
        stage.backend.delete(running.id)
        stage.backend.submit(following)
        assert set(stage.look()) == {following.id}


@dataclass(frozen=True)
class Seen:
    """A condition as a value: at least this step is done."""

    step: int

    def __call__(self, status: AttemptStatus) -> bool:
        return status.progress.step >= self.step or status.state.is_final
