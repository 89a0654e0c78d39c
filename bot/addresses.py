"""Where services answer, and waiting for one that is starting."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot.hosting import is_adapter
from bot.serving_problems import problem_sentence
from bot.talks import Talk
from bot.texts import texts
from bot.world import World
from serving.services import Address
from storage.models import Service
from storage.states import HostState, ServiceState, Wish

LONGEST_WAIT_S = 300.0
SECONDS_BETWEEN_LOOKS = 0.5


class NotReadyError(Exception):
    """The service cannot answer: the sentence says why, and what to do."""


class Addresses:
    """Host id -> where it answered last: looking for it takes longer than the model's first token may."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, Address] = {}

    def forget(self, host_id: str) -> None:
        """It did not answer there: look again."""
        self._known.pop(host_id, None)

    async def wait_for(self, talk: Talk, waiting: Callable[[str], Awaitable[None]]) -> Address:
        """Where ``talk`` is answered, as soon as it can be; ``waiting`` is told a sentence while it cannot.

        Raises NotReadyError where the service is gone, has failed, or does not come in LONGEST_WAIT_S.
        """
        text = texts(talk.language)
        deadline = time.monotonic() + LONGEST_WAIT_S
        service: Service | None = talk.service
        while True:
            if service is None or service.wanted is Wish.DOWN:
                raise NotReadyError(text("chat.gone"))
            if service.state is ServiceState.FAILED:
                raise NotReadyError(problem_sentence(text, service.reason))
            address = await self._find(talk, service)
            if address is not None:
                return address
            if time.monotonic() > deadline:
                raise NotReadyError(text("chat.not_ready", duration=text.duration(LONGEST_WAIT_S)))
            await waiting(text(f"chat.waiting.{service.state}"))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            async with self._world.store.reading() as session:
                service = await session.get(Service, service.id)

    async def _find(self, talk: Talk, service: Service) -> Address | None:
        if service.state is not ServiceState.READY and not talk.is_base:
            return None
        if service.host_id not in self._known:
            status = (await asyncio.to_thread(self._world.servers.observe)).get(service.host_id)
            if status is None or status.state is not HostState.READY or status.address is None:
                return None
            if not talk.is_base and is_adapter(talk.model) and talk.model.id not in status.adapters:
                return None
            self._known[service.host_id] = status.address
        return self._known[service.host_id]
