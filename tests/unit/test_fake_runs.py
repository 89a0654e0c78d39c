from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from storage.manifests import is_complete
from storage.states import RunState
from tests.contracts.run_backend import OneAtATimeContract, RunBackendContract
from tests.fakes import FakeRuns
from training.runs import Attempt, AttemptId, AttemptStatus, BackendUnavailable, Reason
from training.spec import TrainingSpec


class FakeStage:
    """Time goes by when the test waits."""

    def __init__(self, root: Path) -> None:
        self.backend = FakeRuns(root)
        self._bad: set[str] = set()

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        if is_bad:
            self._bad.add(run_id)
        return make_attempt(run_id, number)

    def look(self) -> Mapping[AttemptId, AttemptStatus]:
        return self.backend.observe()

    def wait(self, attempt: AttemptId, condition: Callable[[AttemptStatus], bool]) -> AttemptStatus:
        for _ in range(100):
            status = self.backend.observe()[attempt]
            if condition(status):
                return status
            if attempt.run_id in self._bad:
                self.backend.fail(attempt, Reason.BAD_DATA, "the data set has no row to train on")
            else:
                self.backend.advance()
        raise AssertionError("it never came to that")


def make_attempt(run_id: str, number: int = 1) -> Attempt:
    return Attempt(
        id=AttemptId(run_id, number),
        spec=TrainingSpec(),
        base_model="/nowhere",
        dataset="datasets/x",
        columns={},
        fills={},
        model=f"models/{run_id}",
    )


@pytest.fixture
def stage(tmp_path: Path) -> FakeStage:
    return FakeStage(tmp_path)


class TestFakeRuns(RunBackendContract, OneAtATimeContract):
    pass


def test_the_model_is_written_where_the_attempt_wants_it(tmp_path: Path) -> None:
    runs = FakeRuns(tmp_path)
    runs.submit(make_attempt("r"))
    runs.finish()
    assert is_complete(tmp_path / "models/r")
    assert (tmp_path / "models/r/adapter_model.safetensors").is_file()


def test_a_second_attempt_goes_on_where_the_first_was_lost() -> None:
    runs = FakeRuns(steps=6)
    runs.submit(make_attempt("r"))
    runs.advance()
    runs.advance(4)
    runs.fail(AttemptId("r", 1), Reason.KILLED)
    runs.submit(make_attempt("r", 2))
    runs.advance()
    status = runs.observe()[AttemptId("r", 2)]
    assert (status.state, status.progress.step) == (RunState.RUNNING, 4)
    runs.finish()
    status = runs.observe()[AttemptId("r", 2)]
    assert [point.step for point in status.progress.points] == [1, 2, 3, 4, 5, 6]


def test_switched_off_it_answers_nothing() -> None:
    runs = FakeRuns()
    runs.is_available = False
    with pytest.raises(BackendUnavailable):
        runs.observe()
