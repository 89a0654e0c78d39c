"""How often a key may ask: a bucket that fills continuously, kept in this process."""

import time
from collections.abc import Callable

WINDOW_S = 60.0


class RateLimits:
    """A bucket for each key, as the time at which it will be full again (the generic cell rate algorithm)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, key_id: str, per_minute: int) -> float:
        """Take one request out of the key's bucket: 0, or the seconds until there will be one."""
        now = self._clock()
        full_at = max(self._full_at.get(key_id, now), now) + WINDOW_S / per_minute
        missing_s = full_at - now - WINDOW_S
        # Sums of floating-point numbers: a millionth of a second is nothing.
        if missing_s > 1e-6:
            return missing_s
        self._full_at[key_id] = full_at
        return 0.0
