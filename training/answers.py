"""What a cluster says of Jobs that do not move, asked for all of them at once and not often."""

import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from training.cluster import ClusterError

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_QUESTIONS = 5


class Answers:
    """What is said of Jobs that do not move: one question for all of them, now and then."""

    def __init__(self, ask: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._ask = ask
        self._asked_at = float("-inf")
        self._known: dict[str, list[str]] = {}

    def get(self, uid: str, default: Sequence[str]) -> Sequence[str]:
        """What is said of one, in order."""
        if time.monotonic() - self._asked_at > SECONDS_BETWEEN_QUESTIONS:
            self._asked_at = time.monotonic()
            try:
                answers = list(self._ask())
            except ClusterError as error:
                log.info("cluster.no_answer", error=str(error))
            else:
                self._known = {}
                for about, words in answers:
                    self._known.setdefault(about, []).append(words)
        return self._known.get(uid, default)
