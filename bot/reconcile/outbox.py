"""The outbox: what this process's faces have yet to show, and answers that nobody speaks any more."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from bot.context import say
from bot.delivery import Delivery
from bot.replies import BODIES, Answer, Comparison
from bot.speaking import Speaking, interrupted
from bot.talks import history
from bot.texts import texts
from bot.world import World
from storage.models import Message, Thread, now
from storage.states import MessageState
from storage.threads import is_shown_by

SILENT = timedelta(seconds=8)
"""After this long without a sign of life, whoever was speaking is gone: signs come once a second."""


class OutboxLoop:
    """Shows what is due on the faces of this process."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking) -> None:
        self._world = world
        self._delivery = delivery
        self._speaking = speaking

    async def once(self) -> None:
        """Mark what was interrupted, then show everything that is due."""
        await self._mark_interrupted()
        await self._delivery.deliver_due()

    async def _mark_interrupted(self) -> None:
        silent = (
            select(Message.id)
            .join(Thread, Thread.id == Message.thread_id)
            .where(
                Message.state == MessageState.STREAMING,
                Message.updated_at < now() - SILENT,
                is_shown_by(self._delivery.shown),
            )
        )
        async with self._world.store.reading() as session:
            found = [one for one in await session.scalars(silent) if one not in self._speaking.held]
        for message_id in found:
            await self._mark(message_id)

    async def _mark(self, message_id: str) -> None:
        async with self._world.store.transaction() as session:
            message = await session.get(Message, message_id)
            thread = await session.get(Thread, message.thread_id) if message else None
            if message is None or thread is None or message.state is not MessageState.STREAMING:
                return
            reply = BODIES.validate_python(message.body)
            if isinstance(reply, Answer):
                await say(session, thread, interrupted(thread.language, reply, await history(session, message)))
            elif isinstance(reply, Comparison):
                note = texts(thread.language)("comparison.interrupted")
                await say(session, thread, replace(reply, note=note))
