"""What goes wrong, by seed: the n-th thing of a name has the same fate in every run."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Chances = Mapping[str, float]
"""Method -> chance from 0 to 1; ``*`` stands for every method that is not named."""


@dataclass(kw_only=True)
class Faults:
    """Chances from 0 to 1, and seconds. Nothing goes wrong by default."""

    seed: int = 0
    duplicates: float = 0.0
    """An event that was acknowledged is delivered once more."""
    delays: tuple[float, float] = (0.0, 0.0)
    """Seconds from an act to its delivery: from, to."""
    out_of_order: float = 0.0
    """An event is held back until later ones are through."""
    held_back_s: float = 0.3
    socket_drops: float = 0.0
    """The socket breaks when an event was written to it."""
    fail: Chances = field(default_factory=dict)
    """503, and nothing was done. ``download``: of a file."""
    fail_next: set[str] = field(default_factory=set)
    """Methods whose next call fails so."""
    lost_answers: Chances = field(default_factory=dict)
    """Done, but the connection breaks before the answer."""
    rate_limited: Chances = field(default_factory=dict)
    """429 with Retry-After."""
    late: dict[str, float] = field(default_factory=dict)
    """Method -> seconds that its next call is on its way: Slack does it then, whether or not somebody still waits."""
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Methods that answer once this is set."""
    cut_downloads: float = 0.0
    """A file breaks off in its middle."""
    _counts: Counter[str] = field(default_factory=Counter, repr=False)

    def happens(self, chance: float, name: str) -> bool:
        """Whether the next thing of that name goes wrong."""
        return chance > 0 and self._next(name) < chance

    def hits(self, chances: Chances, kind: str, method: str) -> bool:
        """Whether the next call of a method goes wrong in that way."""
        return self.happens(chances.get(method, chances.get("*", 0.0)), f"{kind}/{method}")

    def fails(self, method: str) -> bool:
        """Whether the next call of a method fails, and nothing is done."""
        if method in self.fail_next:
            self.fail_next.discard(method)
            return True
        return self.hits(self.fail, "fail", method)

    def delay_s(self) -> float:
        """Seconds that the next event waits."""
        first, last = self.delays
        wait_s = first + (last - first) * self._next("delay") if last > 0 else 0.0
        return wait_s + (self.held_back_s if self.happens(self.out_of_order, "order") else 0.0)

    def _next(self, name: str) -> float:
        self._counts[name] += 1
        return random.Random(f"{self.seed}/{name}/{self._counts[name]}").random()
