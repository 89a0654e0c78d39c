"""Places at a replica: a few hold one, the others wait in a fair order."""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def favourite(key: str, names: Iterable[str]) -> str:
    """The one of ``names`` that ``key`` belongs to: by rendezvous hashing (highest random weight).

    It needs no memory, and when a name goes only the keys that belonged to it move. Raises ValueError for no names.
    """
    return max(names, key=lambda name: (hashlib.blake2b(f"{key}\0{name}".encode(), digest_size=8).digest(), name))


@dataclass(eq=False)
class Ticket:
    """Somebody who holds a place, or waits for one."""

    key: str
    holds: bool = False
    """Whether it has its place."""
    ahead: int = 0
    """How many get a place before it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever the two above change; whoever waits clears it."""


class FairQueue:
    """At most ``places`` tickets hold a place. Those that wait are served a turn a key, in the order in which the keys
    came: a key that asks often waits behind its own, not others behind it."""

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError("a queue needs a place to wait for")
        self._places = places
        self._holding: set[Ticket] = set()
        self._waiting: OrderedDict[str, deque[Ticket]] = OrderedDict()
        """Key -> its tickets; the key whose turn comes next stands first."""

    @property
    def holding(self) -> int:
        """How many hold a place."""
        return len(self._holding)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(len(tickets) for tickets in self._waiting.values())

    def enter(self, key: str) -> Ticket:
        """Ask for a place; where one is free, the ticket holds it at once."""
        ticket = Ticket(key)
        self._waiting.setdefault(key, deque()).append(ticket)
        self._settle()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place back, or wait no more. Safe to repeat."""
        self._holding.discard(ticket)
        ticket.holds = False
        tickets = self._waiting.get(ticket.key)
        if tickets is not None and ticket in tickets:
            tickets.remove(ticket)
            if not tickets:
                del self._waiting[ticket.key]
        self._settle()

    def _settle(self) -> None:
        while self._waiting and len(self._holding) < self._places:
            ticket = self._take_next()
            ticket.holds, ticket.ahead = True, 0
            self._holding.add(ticket)
            ticket.changed.set()
        for ahead, ticket in enumerate(self._in_order()):
            if ticket.ahead != ahead:
                ticket.ahead = ahead
                ticket.changed.set()

    def _take_next(self) -> Ticket:
        key, tickets = next(iter(self._waiting.items()))
        ticket = tickets.popleft()
        if tickets:
            self._waiting.move_to_end(key)
        else:
            del self._waiting[key]
        return ticket

    def _in_order(self) -> Iterator[Ticket]:
        """Those that wait, as they will be served if nobody else comes."""
        rounds = [list(tickets) for tickets in self._waiting.values()]
        for number in range(max(map(len, rounds), default=0)):
            yield from (tickets[number] for tickets in rounds if number < len(tickets))
