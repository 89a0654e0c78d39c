"""Slack's rate limits: a bucket a method and workspace, for posts a bucket a channel."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
"""Calls a minute. Slack says "20+" and so on, and forgives "occasional bursts": our reading is a bucket of that size,
refilled a tenth faster than the tier."""
GENEROSITY = 1.1
POST_BURST = 4
"""Messages into one channel at once; then one a second. Slack calls it "short bursts"."""


@dataclass(kw_only=True)
class _Bucket:
    size: float
    per_second: float
    left: float
    at: float

    def take(self, now: float) -> float:
        """Take one; 0.0, or the seconds until there is one."""
        self.left = min(self.size, self.left + (now - self.at) * self.per_second)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / self.per_second


class RateLimits:
    """Counts calls. ``speed``: how many times faster than Slack's minute goes by here; 0: no limits."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.clock: Callable[[], float] = time.monotonic
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def retry_after_s(self, *, team: str, method: str, tier: int | None, channel: str) -> int:
        """0 where the call may be made; else what Retry-After says."""
        if not self.speed or (tier is None and method != "chat.postMessage"):
            return 0
        key = (team, f"{method}/{channel}" if tier is None else method)
        now = self.clock()
        if key not in self._buckets:
            self._buckets[key] = self._bucket(tier, now)
        wait_s = self._buckets[key].take(now)
        return math.ceil(wait_s) if wait_s else 0

    def _bucket(self, tier: int | None, now: float) -> _Bucket:
        if tier is None:
            return _Bucket(size=POST_BURST, per_second=self.speed, left=POST_BURST, at=now)
        size = TIERS[tier]
        return _Bucket(size=size, per_second=size / 60 * GENEROSITY * self.speed, left=size, at=now)
