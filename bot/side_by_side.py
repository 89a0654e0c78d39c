"""Both models answer a person's question, side by side."""

import asyncio
from dataclasses import replace

from langchain_core.messages import HumanMessage

from bot.addresses import NotReadyError
from bot.replies import BODIES, Comparison, ComparisonRow
from bot.serving_problems import error_sentence
from bot.speaking import Speaking
from bot.talks import Talk, conversation_key, find_talk
from bot.texts import texts
from bot.world import World
from serving.chat import answer
from serving.services import ServingError
from storage.models import Message, Thread
from training.tokens import TokenizerError


async def ask_both(world: World, speaking: Speaking, service_id: str, message_id: str) -> bool:
    """Fill the comparison that waits in the message, each answer as it comes; returns whether both came."""
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
    question = reply.rows[0].question
    with speaking.holding(message_id):
        asking = [asyncio.create_task(_ask(speaking, talk, question)) for talk in (base, tuned)]
        base_answer, base_came = await asking[0]
        row = ComparisonRow(question=question, base=base_answer, tuned="")
        await speaking.show_growing(message, thread, replace(reply, rows=(row,)))
        tuned_answer, tuned_came = await asking[1]
        row = ComparisonRow(question=question, base=base_answer, tuned=tuned_answer)
        await speaking.finish(message, replace(reply, rows=(row,), note=""))
    return base_came and tuned_came


async def _ask(speaking: Speaking, talk: Talk, question: str) -> tuple[str, bool]:
    """The answer, or the sentence that says why there is none; and whether it is an answer."""
    text = texts(talk.language)
    try:
        address = await speaking.addresses.wait_for(talk, _be_patient)
        request = await speaking.request(
            talk.base,
            talk.served_name,
            [HumanMessage(question)],
            system=talk.system,
            sampling=talk.sampling,
            address=address,
        )
        return (await answer(request)).strip() or text("chat.empty"), True
    except NotReadyError as error:
        return str(error), False
    except ServingError as error:
        speaking.addresses.forget(talk.service.host_id)
        return error_sentence(text, error), False
    except TokenizerError as error:
        return text(f"tokenizer_error.{error.code}", **error.params), False


async def _be_patient(_: str) -> None:
    """The comparison says already that its answers are under way."""
