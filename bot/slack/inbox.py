"""The inbox: what a person did is kept before Slack is told that it came, and handled in the order it happened in.

So a kill at any line loses nothing: Slack sends again what was not acknowledged, and what was is in the table.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from bot.faces import NeverShown, Unreachable
from bot.slack.arrivals import ARRIVALS, Arrival
from bot.slack.places import FACE
from storage.database_errors import is_away
from storage.inbox import drop_delivery, is_ours, next_delivery, put_deliveries, waiting_threads
from storage.models import Inbox as Row
from storage.store import Store

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 0.25
"""Slack's deliveries overtake one another: so long a thread waits for one that happened earlier."""
STRANGE_SECONDS = 600.0
"""So long a word in a thread that is not ours is kept in memory: the mention that makes it ours may come later. Slack
tells what was not acknowledged again after a moment, after one minute and after five."""
MOST_STRANGE = 1000
"""Of such words, in all threads."""
MOST_ATTEMPTS = 3
"""Of handling something in which our own mistake is."""
SECONDS_BETWEEN_ATTEMPTS = 5.0

SECONDS_TO_END = 3.0
"""What is being handled at the end may take so long."""

Handler = Callable[[Arrival], Awaitable[None]]


class Inbox:
    """Takes arrivals, and hands each to the handler once."""

    def __init__(
        self,
        store: Store,
        handler: Handler,
        *,
        settle_s: float = SETTLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._handler = handler
        self._settle_s = settle_s
        self._clock = clock
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self._strange: deque[tuple[float, Arrival]] = deque(maxlen=MOST_STRANGE)
        """Words in threads that are not ours, with the time when each came."""
        self._writer: asyncio.Task[None] | None = None
        self._lines: dict[str, asyncio.Task[None]] = {}
        self._wanted: set[str] = set()
        self._ours: set[str] = set()
        """Keys of threads known to be ours, which they stay."""
        self._closing = asyncio.Event()

    async def accept(self, arrival: Arrival) -> None:
        """Keep an arrival; on return it is safe."""
        key = arrival.place.key if arrival.place else None
        # What makes the thread ours may have been written while we looked.
        if key and arrival.must_be_ours and not await self._is_ours(key) and key not in self._ours:
            self._keep_strange(arrival)
            return
        await self._write(arrival)
        if key:
            # From here on nothing in this thread is strange any more, so that nothing is added to what is taken here.
            self._ours.add(key)
            await self._write_strange(after=arrival)
        self._begin(arrival.line)

    async def resume(self) -> None:
        """Go on with what an earlier process has left."""
        async with self._store.reading() as session:
            waiting = await waiting_threads(session, face=FACE)
        for line in waiting:
            self._begin(line)

    async def close(self) -> None:
        """End what can end soon, and break off the rest: what is not handled is in the table."""
        self._closing.set()
        tasks = [*filter(None, (self._writer, *self._lines.values()))]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=SECONDS_TO_END)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _is_ours(self, key: str) -> bool:
        if key not in self._ours:
            async with self._store.reading() as session:
                if not await is_ours(session, face=FACE, thread_key=key):
                    return False
            self._ours.add(key)
        return True

    def _keep_strange(self, arrival: Arrival) -> None:
        at = self._clock()
        while self._strange and at - self._strange[0][0] > STRANGE_SECONDS:
            self._strange.popleft()
        self._strange.append((at, arrival))

    async def _write_strange(self, *, after: Arrival) -> None:
        """Write what was said in a thread after the word that makes it ours; what was said before it is not for us."""
        kept = [one for _, one in self._strange if one.place == after.place and one.order > after.order]
        await asyncio.gather(*(self._write(one) for one in kept))
        self._strange = deque((pair for pair in self._strange if pair[1] not in kept), maxlen=MOST_STRANGE)

    async def _write(self, arrival: Arrival) -> None:
        """Write together with whatever else comes in this moment: under load one transaction holds many."""
        row = Row(
            face=FACE,
            event_id=arrival.event_id,
            thread_key=arrival.line,
            place=arrival.order,
            body=ARRIVALS.dump_python(arrival, mode="json"),
            attempts=0,
        )
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((row, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending())
        await written

    async def _write_pending(self) -> None:
        while self._pending:
            batch: list[tuple[Row, asyncio.Future[None]]] = []
            failure: Exception | None = None
            try:
                async with self._store.transaction() as session:
                    # Taken only when it is our turn to write: whatever came while we waited goes along.
                    batch, self._pending = self._pending, []
                    await put_deliveries(session, [row for row, _ in batch])
            except Exception as error:  # whoever waits gets it, and Slack tells again
                log.exception("slack.not_kept", deliveries=len(batch))
                failure = error
                batch, self._pending = [*batch, *self._pending], []
            for _, written in batch:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)

    def _begin(self, line: str) -> None:
        self._wanted.add(line)
        if line not in self._lines:
            self._lines[line] = asyncio.create_task(self._work(line))

    async def _work(self, line: str) -> None:
        try:
            while line in self._wanted:
                self._wanted.discard(line)
                await self._pause(self._settle_s)
                await self._handle_all(line)
        finally:
            del self._lines[line]

    async def _handle_all(self, line: str) -> None:
        try:
            while not self._closing.is_set() and await self._handle_next(line):
                pass
        except Exception as error:
            # What waits is in the database, and nobody else would look there again.
            if is_away(error):
                log.warning("slack.no_database")
            else:
                log.exception("slack.line_failed", line=line)
            self._wanted.add(line)
            await self._pause(SECONDS_BETWEEN_ATTEMPTS)

    async def _handle_next(self, line: str) -> bool:
        """Handle what happened first of a line; False when nothing is left."""
        async with self._store.reading() as session:
            row = await next_delivery(session, face=FACE, thread_key=line)
        if row is None:
            return False
        try:
            await self._handler(ARRIVALS.validate_python(row.body))
        except Unreachable as error:
            log.info("slack.unreachable", event_id=row.event_id, reason=str(error))
            await self._pause(error.after_s or SECONDS_BETWEEN_ATTEMPTS)
            return True
        except NeverShown as error:
            log.info("slack.no_such_place", event_id=row.event_id, reason=str(error))
        except Exception:
            log.exception("slack.not_handled", event_id=row.event_id, attempt=row.attempts)
            if await self._count_attempt(row.event_id) < MOST_ATTEMPTS:
                await self._pause(SECONDS_BETWEEN_ATTEMPTS)
                return True
        async with self._store.transaction() as session:
            await drop_delivery(session, face=FACE, event_id=row.event_id)
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the end comes first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _count_attempt(self, event_id: str) -> int:
        async with self._store.transaction() as session:
            row = await session.get_one(Row, (FACE, event_id))
            row.attempts += 1
            return row.attempts
