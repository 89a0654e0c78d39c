"""Both models answer a person's question, side by side."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

from langchain_core.messages import HumanMessage

from bot.replies import BODIES, Comparison, ComparisonRow
from bot.routing import Lease, NotReadyError, Waiting
from bot.serving_problems import error_sentence, not_ready_sentence
from bot.speaking import Speaking
from bot.talks import Talk, conversation_key, find_talk
from bot.texts import texts
from bot.world import World
from serving.chat import stream_answer
from serving.services import AdapterMissing, ServerUnavailable, ServingError
from storage.models import Message, Thread
from training.tokens import TokenizerError


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
    question = reply.rows[0].question
    async with speaking.holding(message_id):
        asking = [asyncio.create_task(_ask(speaking, talk, question, message.thread_id)) for talk in (base, tuned)]
        try:
            base_answer, base_came = await asking[0]
            row = ComparisonRow(question=question, base=base_answer, tuned="")
            await speaking.show_growing(message, thread, replace(reply, rows=(row,)))
            tuned_answer, tuned_came = await asking[1]
        finally:
            # Where this is broken off, both are.
            for one in asking:
                one.cancel()
            await asyncio.wait(asking)
        row = ComparisonRow(question=question, base=base_answer, tuned=tuned_answer)
        await speaking.finish(message, replace(reply, rows=(row,), note=""))
    return base_came and tuned_came


async def _ask(speaking: Speaking, talk: Talk, question: str, sticky: str) -> tuple[str, bool]:
    """The answer, or the sentence that says why there is none; and whether it is an answer."""
    text = texts(talk.language)
    try:
        async with speaking.routes.lease(
            talk.service.id, asks_base=talk.is_base, sticky=sticky, waiting=_be_patient
        ) as lease:
            return await _ask_there(speaking, lease, talk, question) or text("chat.empty"), True
    except NotReadyError as error:
        return not_ready_sentence(text, error), False
    except ServingError as error:
        return error_sentence(text, error), False
    except TokenizerError as error:
        return text(f"tokenizer_error.{error.code}", **error.params), False


async def _ask_there(speaking: Speaking, lease: Lease, talk: Talk, question: str) -> str:
    request = await speaking.request(lease, [HumanMessage(question)], system=talk.system, sampling=talk.sampling)
    pieces = []
    try:
        async with aclosing(stream_answer(request)) as stream:
            async for piece in stream:
                lease.saw()
                pieces.append(piece)
    except (ServerUnavailable, AdapterMissing):
        lease.broken()
        raise
    return "".join(pieces).strip()


async def _be_patient(_: Waiting) -> None:
    """The comparison says already that its answers are under way."""
