"""The loops of this process."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.delivery import Delivery
from bot.reconcile.deleting import DeletionLoop
from bot.reconcile.hosts import HostsLoop
from bot.reconcile.models import ModelsLoop
from bot.reconcile.outbox import OutboxLoop
from bot.reconcile.runs import RunsLoop
from bot.reconcile.services import ServicesLoop
from bot.speaking import Speaking
from bot.world import World
from storage.database_errors import is_away

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_PASSES = 1.0
SHORTEST_SECONDS = 0.1
"""Between two passes, however often somebody wakes the loops."""


class Loops:
    """Makes the world match the database. :meth:`show_due` is every process's own; the rest is one process's."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking, *, woken: asyncio.Event) -> None:
        self._woken = woken
        self._runs = RunsLoop(world, delivery)
        self._deletion = DeletionLoop(world, delivery)
        self._hosts = HostsLoop(world, speaking.routes)
        self._services = ServicesLoop(world, delivery, speaking)
        self._models = ModelsLoop(world, delivery)
        self._outbox = OutboxLoop(world, delivery, speaking)

    async def run(self) -> None:
        """Work until cancelled. An error ends one pass, not the loop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat("runs", self._runs.once))
            group.create_task(self._repeat("deletion", self._deletion.once))
            group.create_task(self._repeat("serving", self._serve))
            group.create_task(self._repeat("models", self._models.once))

    async def show_due(self) -> None:
        """Show what is due on this process's faces, until cancelled."""
        await self._repeat("outbox", self._outbox.once)

    async def once(self) -> None:
        """One pass of everything, and what it set off: for tests."""
        await self._models.once()
        await self._models.settle()
        await self._runs.once()
        await self._serve()
        await self._services.settle()
        await self._deletion.once()
        await self._outbox.once()

    async def shut_down(self) -> None:
        """A clean end: what goes on between passes is broken off, and this machine's model servers end."""
        await self.break_off()
        await self._hosts.stop_all()

    async def break_off(self) -> None:
        """End what goes on between passes; whoever runs the loops next begins it anew."""
        await self._services.cancel()
        await self._models.cancel()

    async def _serve(self) -> None:
        await self._services.once(await self._hosts.once())

    async def _repeat(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await act()
            except Exception as error:
                if is_away(error):
                    # Said every second by every loop, a trace would bury what else there is.
                    log.warning("loop.no_database", loop=name)
                else:
                    log.exception("loop.failed", loop=name)
            await asyncio.sleep(SHORTEST_SECONDS)
            try:
                async with asyncio.timeout(SECONDS_BETWEEN_PASSES):
                    await self._woken.wait()
            except TimeoutError:
                continue
            # Whoever waits has been told by now; whoever is in the middle of a pass looks again within a second.
            self._woken.clear()
