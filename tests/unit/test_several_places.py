"""Several places behind one port: the suite of every backend, and what happens when one of them is away."""

import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from storage.states import RunState
from tests.contracts.run_backend import RunBackendContract
from tests.fake_runs import FakeAttempt
from tests.fakes import FakeRuns
from tests.unit.test_fake_runs import FakeStage, make_attempt
from training.runs import Attempt, AttemptId, AttemptStatus, BackendUnavailable, Refused
from training.several import SeveralPlaces


class SlowRuns(FakeRuns):
    """A fake that answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__(max_running=9)
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        found = dict(super().observe())
        self.is_asked.set()
        assert self.may_answer.wait(60)
        return found


class Patience:
    """In place of the clock: a look waits for every place; once this ``is_over``, for all of them but one."""

    def __init__(self) -> None:
        self.is_over = threading.Event()

    def wait(self, questions: Collection[Future[object]], _seconds: float) -> None:
        asked = list(questions)
        while sum(not question.done() for question in asked) > (1 if self.is_over.is_set() else 0):
            time.sleep(0.001)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    made = Patience()
    monkeypatch.setattr("training.several.wait", made.wait)
    return made


@dataclass(kw_only=True)
class Places:
    """Two places, and the port over them."""

    beijing: FakeRuns
    shanghai: FakeRuns

    def __post_init__(self) -> None:
        self.several = SeveralPlaces({"beijing": self.beijing, "shanghai": self.shanghai}, default="beijing")


@pytest.fixture
def places() -> Iterator[Places]:
    made = Places(beijing=FakeRuns(max_running=9), shanghai=FakeRuns(max_running=9))
    yield made
    made.several.close()


def attempt(run_id: str, number: int = 1, *, place: str | None = None) -> Attempt:
    return replace(make_attempt(run_id, number), place=place)


class StageOfSeveral(FakeStage):
    """Attempts go to the second place, whose clock the test's waiting moves."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.there = self.backend
        self.several = SeveralPlaces({"here": FakeRuns(root), "there": self.there}, default="here")

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        return replace(super().attempt(run_id, number, is_long=is_long, is_bad=is_bad), place="there")


class TestSeveralPlaces(RunBackendContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator["SeveralAsStage"]:
        inner = StageOfSeveral(tmp_path)
        yield SeveralAsStage(inner)
        inner.several.close()


@dataclass(frozen=True)
class SeveralAsStage:
    """The stage that the suite sees: the port over both places."""

    inner: StageOfSeveral

    @property
    def backend(self) -> SeveralPlaces:
        return self.inner.several

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        return self.inner.attempt(run_id, number, is_long=is_long, is_bad=is_bad)

    def look(self) -> Mapping[AttemptId, AttemptStatus]:
        return self.backend.observe()

    def wait(self, id_: AttemptId, condition: object) -> AttemptStatus:
        self.inner.wait(id_, condition)  # type: ignore[arg-type]
        return self.backend.observe()[id_]


def test_an_attempt_goes_to_its_place_and_without_one_to_the_default(places: Places) -> None:
    places.several.submit(attempt("a"))
    places.several.submit(attempt("b", place="shanghai"))
    assert list(places.beijing.attempts) == [("a", 1)]
    assert list(places.shanghai.attempts) == [("b", 1)]
    observed = places.several.observe()
    assert (set(observed), observed.away) == ({("a", 1), ("b", 1)}, frozenset())


def test_a_place_that_is_not_configured_is_refused(places: Places) -> None:
    with pytest.raises(Refused, match="tianjin"):
        places.several.submit(attempt("a", place="tianjin"))


def test_a_place_that_is_away_hides_no_other(places: Places) -> None:
    places.several.submit(attempt("a", place="beijing"))
    places.several.submit(attempt("b", place="shanghai"))
    places.shanghai.is_available = False
    observed = places.several.observe()
    assert (set(observed), observed.away) == ({AttemptId("a", 1)}, frozenset({"shanghai"}))
    with pytest.raises(BackendUnavailable):
        places.several.submit(attempt("c", place="shanghai"))
    places.several.submit(attempt("d", place="beijing"))

    places.shanghai.is_available = True
    observed = places.several.observe()
    assert (set(observed), observed.away) == ({("a", 1), ("b", 1), ("d", 1)}, frozenset())
    places.several.submit(attempt("c", place="shanghai"))


def test_all_away_is_no_answer(places: Places) -> None:
    places.beijing.is_available = places.shanghai.is_available = False
    with pytest.raises(BackendUnavailable):
        places.several.observe()


def test_what_is_asked_of_an_attempt_is_asked_where_it_is(places: Places) -> None:
    places.several.submit(attempt("b", place="shanghai"))
    places.beijing.is_available = False
    places.shanghai.advance()
    places.several.observe()
    assert list(places.several.logs(AttemptId("b", 1), last_lines=5))
    places.several.cancel(AttemptId("b", 1))
    places.several.release(AttemptId("b", 1))
    places.several.delete(AttemptId("b", 1))
    assert places.shanghai.attempts == {}
    assert not {"cancel", "logs", "release", "delete"} & places.beijing.calls.keys()


def test_after_a_restart_all_places_are_asked(places: Places) -> None:
    places.several.submit(attempt("b", place="shanghai"))
    places.shanghai.advance()
    again = SeveralPlaces({"beijing": places.beijing, "shanghai": places.shanghai}, default="beijing")
    assert list(again.logs(AttemptId("b", 1), last_lines=5)) == ["training: from step 0 to 10"]
    places.beijing.is_available = False
    assert list(again.logs(AttemptId("b", 1), last_lines=5)) == ["training: from step 0 to 10"]
    with pytest.raises(BackendUnavailable):
        again.cancel(AttemptId("b", 1))
    assert places.shanghai.attempts[AttemptId("b", 1)].is_stopping, "the others were asked all the same"
    again.close()


def test_an_attempt_that_is_there_already_stays_where_it_is(places: Places) -> None:
    """As when the default changed between a submission and its note."""
    places.shanghai.submit(attempt("a"))
    places.several.observe()
    places.several.submit(attempt("a"))
    places.several.submit(attempt("a", 2))
    assert list(places.shanghai.attempts) == [("a", 1), ("a", 2)]
    assert places.beijing.attempts == {}


def test_a_place_that_hangs_holds_up_no_other(patience: Patience) -> None:
    patience.is_over.set()
    slow = SlowRuns()
    made = Places(beijing=FakeRuns(max_running=9), shanghai=slow)
    made.several.submit(attempt("a", place="beijing"))
    made.several.submit(attempt("b", place="shanghai"))
    for _ in range(3):
        observed = made.several.observe()
        assert (set(observed), observed.away) == ({AttemptId("a", 1)}, frozenset({"shanghai"}))

    patience.is_over.clear()
    slow.may_answer.set()
    assert set(made.several.observe()) == {("a", 1), ("b", 1)}
    assert slow.calls["observe"] == 1, "it is not asked again while it thinks"
    made.several.close()


def test_a_late_answer_from_before_a_submission_does_not_count(patience: Patience) -> None:
    slow = SlowRuns()
    made = Places(beijing=slow, shanghai=FakeRuns())
    with ThreadPoolExecutor(1) as thread:
        look = thread.submit(made.several.observe)
        assert slow.is_asked.wait(60)
        made.several.submit(attempt("a"))
        patience.is_over.set()
        assert look.result().away == {"beijing"}
    patience.is_over.clear()
    slow.may_answer.set()
    assert made.several.observe()[AttemptId("a", 1)].state is RunState.PENDING
    made.several.close()


def test_attempts_may_be_deleted_while_others_are_looked_at(places: Places) -> None:
    for number in range(2000):
        places.shanghai.attempts[AttemptId(f"b{number}", 1)] = FakeAttempt(
            attempt=attempt("b"), status=AttemptStatus(state=RunState.SUCCEEDED)
        )
    places.several.observe()
    places.shanghai.is_available = False
    is_done = threading.Event()

    def submit_and_delete() -> None:
        while not is_done.is_set():
            # A look that began before does not know of it: it might then be at the place that is away.
            with suppress(BackendUnavailable):
                places.several.submit(attempt("a"))
                places.several.delete(AttemptId("a", 1))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as thread:
            deleting = thread.submit(submit_and_delete)
            try:
                for _ in range(100):
                    assert places.several.observe().away == {"shanghai"}
            finally:
                is_done.set()
            deleting.result()
    finally:
        sys.setswitchinterval(before)
    places.shanghai.is_available = True
    assert set(places.shanghai.attempts) <= set(places.several.observe())
