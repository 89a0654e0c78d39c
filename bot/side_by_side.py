"""Both models answer a person's question, side by side."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog
from langchain_core.messages import HumanMessage

from bot.replies import BODIES, Comparison, ComparisonRow
from bot.routing import Lease, Waiting
from bot.serving_problems import FAILURES, failure_sentence, waiting_sentence
from bot.speaking import SECONDS_BEFORE_RETRY, Speaking
from bot.stoppable import Stopped
from bot.talks import Talk, conversation_key, find_talk
from bot.texts import Texts, texts
from bot.world import World
from serving.chat import stream_answer
from serving.services import AdapterMissing, ServerUnavailable
from storage.models import Message, Thread

log = structlog.get_logger(__name__)

Side = Literal["base", "tuned"]


async def ask_both(world: World, speaking: Speaking, service_id: str, message_id: str) -> bool:
    """Fill the comparison that waits in the message, each answer as it comes; returns whether both came."""
    read_at = time.monotonic()
    async with world.store.reading() as session:
        message = await session.get(Message, message_id)
        thread = await session.get(Thread, message.thread_id) if message else None
        if message is None or thread is None:
            return False
        talks = [await find_talk(session, thread, conversation_key(service_id, who)) for who in ("base", "tuned")]
    base, tuned = talks
    reply = BODIES.validate_python(message.body)
    if base is None or tuned is None or not isinstance(reply, Comparison):
        return False
    speaking.note(tuned, read_at=read_at)
    asking = _Asking(speaking=speaking, message=message, thread=thread, reply=reply)
    async with speaking.holding(message_id):
        try:
            went_well = await speaking.under_way.run(thread.id, message_id, asking.ask(base, tuned))
            note = ""
        except Stopped:
            went_well, note = True, asking.texts("chat.stopped")
        await speaking.finish(message, replace(asking.reply, note=note))
    return went_well


@dataclass(kw_only=True)
class _Asking:
    """A comparison that is being filled."""

    speaking: Speaking
    message: Message
    thread: Thread
    reply: Comparison
    waiting: dict[Side, str] = field(default_factory=dict)
    """What keeps those that wait; the one that waits longest is told."""

    @property
    def texts(self) -> Texts:
        return texts(self.thread.language)

    @property
    def row(self) -> ComparisonRow:
        return self.reply.rows[0]

    async def ask(self, base: Talk, tuned: Talk) -> bool:
        """Ask both at once; returns whether both answered."""
        asking = [asyncio.create_task(self._fill("base", base)), asyncio.create_task(self._fill("tuned", tuned))]
        try:
            return all([await one for one in asking])
        finally:
            # Where this is broken off, both are.
            for one in asking:
                one.cancel()
            await asyncio.wait(asking)

    async def _fill(self, side: Side, talk: Talk) -> bool:
        """Show the answer, or the sentence that says why there is none; returns whether it is an answer."""
        try:
            said, is_answer = await self._ask(side, talk) or self.texts("chat.empty"), True
        except FAILURES as error:
            log.info("answer.failed", message=self.message.id, error=str(error))
            said, is_answer = failure_sentence(self.texts, error), False
        except Exception:
            log.exception("answer.bug", message=self.message.id)
            said, is_answer = self.texts("error.bug"), False
        row = replace(self.row, base=said) if side == "base" else replace(self.row, tuned=said)
        await self._show(replace(self.reply, rows=(row,)))
        return is_answer

    async def _ask(self, side: Side, talk: Talk) -> str:
        """What a model says; asked once more where its server fails."""
        try:
            return await self._ask_once(side, talk)
        except (ServerUnavailable, AdapterMissing):
            log.info("answer.retried", message=self.message.id)
            await asyncio.sleep(SECONDS_BEFORE_RETRY)
            return await self._ask_once(side, talk)

    async def _ask_once(self, side: Side, talk: Talk) -> str:
        async def wait(waiting: Waiting) -> None:
            self.waiting[side] = waiting_sentence(self.texts, waiting)
            await self._tell_waiting()

        async with self.speaking.routes.lease(
            talk.service.id, asks_base=talk.is_base, sticky=self.thread.id, waiting=wait
        ) as lease:
            self.waiting.pop(side, None)
            await self._tell_waiting()
            try:
                return await self._hear_out(lease, talk)
            except (ServerUnavailable, AdapterMissing):
                lease.broken()
                raise

    async def _hear_out(self, lease: Lease, talk: Talk) -> str:
        question = [HumanMessage(self.row.question)]
        request = await self.speaking.request(lease, question, system=talk.system, sampling=talk.sampling)
        pieces = []
        async with aclosing(stream_answer(request)) as stream:
            async for piece in stream:
                lease.saw()
                pieces.append(piece)
        return "".join(pieces).strip()

    async def _tell_waiting(self) -> None:
        note = next(iter(self.waiting.values()), self.texts("comparison.under_way"))
        if note != self.reply.note:
            await self._show(replace(self.reply, note=note))

    async def _show(self, reply: Comparison) -> None:
        self.reply = reply
        await self.speaking.show_growing(self.message, self.thread, reply)
