"""Several places behind one port: an attempt goes to its own, and what all of them answer is joined.

A place that does not answer hides no other. Each is asked in a thread of its own, and an answer that comes late is
taken with the next look; until then its attempts are not known, which is not the same as gone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from training.runs import (
    Attempt,
    AttemptId,
    AttemptStatus,
    BackendUnavailable,
    Observed,
    Refused,
    RunBackend,
)

PATIENCE_S = 3.0
"""How long a look waits for a place that answered the last time."""
PATIENCE_WITH_AWAY_S = 0.2
"""How long it waits for one that did not: what it says later counts in the next look."""

Answer = Mapping[AttemptId, AttemptStatus]


class SeveralPlaces:
    """Implements :class:`training.runs.RunBackend` over the backends of several places, by name.

    ``default``: where an attempt without a place of its own goes.
    """

    def __init__(self, places: Mapping[str, RunBackend], default: str) -> None:
        self._places = dict(places)
        self._default = default
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=f"place {name}") for name in places}
        self._questions: dict[str, Future[Answer]] = {}
        self._lock = Lock()
        self._away: frozenset[str] = frozenset()
        self._where: dict[AttemptId, str] = {}

    def close(self) -> None:
        """Ask no more. The backends are closed by whoever made them."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    # The port

    def submit(self, attempt: Attempt) -> None:
        """Start it at its place. Raises Refused where that is not configured, and what the place raises."""
        name = self._where.get(attempt.id) or attempt.place or self._place_of_earlier(attempt.id) or self._default
        if name not in self._places:
            raise Refused(f"there is no place {name}")
        if name in self._away:
            raise BackendUnavailable(f"{name} did not answer")
        try:
            self._places[name].submit(attempt)
            with self._lock:
                self._where[attempt.id] = name
        finally:
            # What was asked before does not tell of this attempt.
            with self._lock:
                self._questions.pop(name, None)

    def observe(self) -> Observed:
        """The attempts of all places that answer. Raises BackendUnavailable where none does."""
        questions = {name: self._ask(name) for name in self._places}
        wait([questions[name] for name in self._places if name not in self._away], PATIENCE_S)
        wait(questions.values(), PATIENCE_WITH_AWAY_S)
        answers = {name: self._take(name, question) for name, question in questions.items()}
        self._away = frozenset(name for name, answer in answers.items() if answer is None)
        if len(self._away) == len(self._places):
            raise BackendUnavailable("no place answers")
        found: dict[AttemptId, AttemptStatus] = {}
        where: dict[AttemptId, str] = {}
        for name, answer in answers.items():
            found |= answer or {}
            where |= dict.fromkeys(answer or (), name)
        with self._lock:
            out_of_sight = {attempt: name for attempt, name in self._where.items() if name in self._away}
            self._where = out_of_sight | where
        return Observed(found, away=self._away)

    def cancel(self, attempt: AttemptId) -> None:
        """Ask it to save and stop, wherever it is."""
        self._each(attempt, lambda place: place.cancel(attempt))

    def logs(self, attempt: AttemptId, *, last_lines: int, node: int = 0) -> Iterator[str]:
        """The log's last lines from the place that has them."""
        lines: list[str] = []

        def read(place: RunBackend) -> None:
            if not lines:
                lines.extend(place.logs(attempt, last_lines=last_lines, node=node))

        try:
            self._each(attempt, read)
        except BackendUnavailable:
            if not lines:
                raise
        yield from lines

    def release(self, attempt: AttemptId) -> None:
        """Its end is on record."""
        self._each(attempt, lambda place: place.release(attempt))

    def delete(self, attempt: AttemptId) -> None:
        """Forget it, wherever it is."""
        self._each(attempt, lambda place: place.delete(attempt))
        with self._lock:
            self._where.pop(attempt, None)
            self._questions.clear()

    # Asking

    def _ask(self, name: str) -> "Future[Answer]":
        with self._lock:
            question = self._questions.get(name)
            if question is None:
                question = self._questions[name] = self._threads[name].submit(self._places[name].observe)
            return question

    def _take(self, name: str, question: "Future[Answer]") -> Answer | None:
        """The answer; None of a place that gives none for now."""
        if not question.done():
            return None
        with self._lock:
            if self._questions.get(name) is question:
                del self._questions[name]
        try:
            return question.result()
        except BackendUnavailable:
            return None

    def _place_of_earlier(self, attempt: AttemptId) -> str | None:
        """Where the run's attempts before this one are: it goes on beside them."""
        earlier = (AttemptId(attempt.run_id, number) for number in range(attempt.number - 1, 0, -1))
        return next((self._where[each] for each in earlier if each in self._where), None)

    def _each(self, attempt: AttemptId, act: Callable[[RunBackend], None]) -> None:
        """Act at the place that has the attempt; where none is known to, at all of them.

        Raises BackendUnavailable where a place that may have it does not answer, after the others have been asked.
        """
        trouble = None
        for name in self._holders(attempt):
            try:
                act(self._places[name])
            except BackendUnavailable as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def _holders(self, attempt: AttemptId) -> Sequence[str]:
        known = self._where.get(attempt)
        return [known] if known else list(self._places)
