"""What services are asked and how fast they answer: counted in this process, by service."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS_LOOKED_BACK = 60
"""For the tokens a second."""

FIRST_TOKEN_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 180)
WHOLE_BUCKETS = (0.2, 0.5, 1, 2, 5, 10, 20, 60, 180, 600)

Outcome = Literal["answered", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was counted of a service since this process began."""

    requests: int = 0
    tokens: int = 0
    """Pieces of answers: a token each, as vLLM streams."""
    running: int = 0
    """Answers that are being given now."""
    queued: int = 0
    """Requests that wait for a place now."""
    tokens_per_second: float = 0
    """Over the last minute, all answers together."""
    first_token_s: float | None = None
    """From the request to the first piece, of the last answer."""


@dataclass
class _Counts:
    requests: int = 0
    tokens: int = 0
    running: int = 0
    queued: int = 0
    first_token_s: float | None = None
    recent: deque[tuple[int, int]] = field(default_factory=deque)
    """(second, tokens) of the last minute."""

    def forget_old(self, now: float) -> None:
        while self.recent and self.recent[0][0] <= now - SECONDS_LOOKED_BACK:
            self.recent.popleft()


class Meters:
    """Counts requests; one for a process. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.registry = CollectorRegistry()
        """What ``/metrics`` shows, labelled by the services' names."""
        self._counts: dict[str, _Counts] = {}
        made = self.registry
        self.requests = Counter("tunesmith_requests", "Requests that have ended", ["service", "outcome"], registry=made)
        self.tokens = Counter("tunesmith_tokens", "Tokens of answers", ["service"], registry=made)
        self.running = Gauge("tunesmith_requests_running", "Answers under way", ["service"], registry=made)
        self.queued = Gauge("tunesmith_requests_queued", "Requests that wait for a place", ["service"], registry=made)
        self.first = Histogram(
            "tunesmith_first_token_seconds",
            "From the request to the first token of a stream",
            ["service"],
            registry=made,
            buckets=FIRST_TOKEN_BUCKETS,
        )
        self.whole = Histogram(
            "tunesmith_request_seconds",
            "From the request to the end of the answer",
            ["service"],
            registry=made,
            buckets=WHOLE_BUCKETS,
        )

    def of(self, service_id: str) -> Measured:
        """What was counted of a service."""
        counts = self._counts.get(service_id)
        if counts is None:
            return Measured()
        counts.forget_old(self.clock())
        return Measured(
            requests=counts.requests,
            tokens=counts.tokens,
            running=counts.running,
            queued=counts.queued,
            tokens_per_second=sum(tokens for _, tokens in counts.recent) / SECONDS_LOOKED_BACK,
            first_token_s=counts.first_token_s,
        )

    def begin(self, service_id: str, name: str) -> "Meter":
        """A request comes."""
        counts = self._counts.setdefault(service_id, _Counts())
        counts.requests += 1
        return Meter(self, counts, name)


class Meter:
    """One request's. Each step may be left out, or said twice."""

    def __init__(self, meters: Meters, counts: _Counts, name: str) -> None:
        self._meters = meters
        self._counts = counts
        self._name = name
        self._began_at = meters.clock()
        self.outcome: Outcome = "answered"
        self._is_first = True
        self._is_queued = self._is_running = self._is_over = False

    def queue(self) -> None:
        """It waits for a place."""
        if not self._is_queued:
            self._is_queued = True
            self._counts.queued += 1
            self._meters.queued.labels(self._name).inc()

    def unqueue(self) -> None:
        """It waits no more."""
        if self._is_queued:
            self._is_queued = False
            self._counts.queued -= 1
            self._meters.queued.labels(self._name).dec()

    def run(self) -> None:
        """It has its place."""
        self.unqueue()
        if not self._is_running:
            self._is_running = True
            self._counts.running += 1
            self._meters.running.labels(self._name).inc()

    def saw(self, tokens: int = 1) -> None:
        """Tokens came."""
        now = self._meters.clock()
        if self._is_first and tokens:
            self._is_first = False
            self._counts.first_token_s = now - self._began_at
            self._meters.first.labels(self._name).observe(now - self._began_at)
        self.count(tokens)

    def count(self, tokens: int) -> None:
        """Tokens came, and nobody saw when the first of them did."""
        now = self._meters.clock()
        self._counts.tokens += tokens
        self._meters.tokens.labels(self._name).inc(tokens)
        recent = self._counts.recent
        if recent and recent[-1][0] == int(now):
            recent[-1] = (int(now), recent[-1][1] + tokens)
        else:
            recent.append((int(now), tokens))
            self._counts.forget_old(now)

    def end(self) -> None:
        """It is over, with ``outcome``."""
        if self._is_over:
            return
        self._is_over = True
        self.unqueue()
        if self._is_running:
            self._counts.running -= 1
            self._meters.running.labels(self._name).dec()
        self._meters.requests.labels(self._name, self.outcome).inc()
        self._meters.whole.labels(self._name).observe(self._meters.clock() - self._began_at)
