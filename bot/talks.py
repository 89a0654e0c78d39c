"""Rows -> what a model is asked: the history of a conversation, its prompt and sampling."""

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.replies import BODIES, Answer, Said
from bot.turns import ThreadRef
from serving.sampling import SamplingValue
from storage.models import Host, Message, Model, Service, Thread
from storage.states import Role

LONGEST_HISTORY = 400
"""Exchanges that are looked at; fewer fit any context."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Everything that is needed to ask a service something in a thread."""

    thread: ThreadRef
    language: str
    service: Service
    model: Model
    host: Host
    base: Model
    """The model that the host was started with."""
    is_base: bool
    """Whether the base model is asked."""
    system: str | None
    sampling: dict[str, SamplingValue]


def conversation_key(service_id: str, speaker: str) -> str:
    """The name of a conversation: a service, and who of its two speaks."""
    return f"{service_id}/{speaker}"


async def find_talk(session: AsyncSession, thread: Thread, conversation: str) -> Talk | None:
    """The talk of a conversation in a thread; None where its service is gone."""
    service_id, _, speaker = conversation.partition("/")
    service = await session.get(Service, service_id, populate_existing=True)
    if service is None:
        return None
    model = await session.get_one(Model, service.model_id)
    host = await session.get_one(Host, service.host_id, populate_existing=True)
    is_base = speaker == "base"
    return Talk(
        thread=ThreadRef(face=thread.face, key=thread.face_key),
        language=thread.language,
        service=service,
        model=model,
        host=host,
        base=await session.get_one(Model, host.base_model_id),
        is_base=is_base,
        # The base model never saw the data's system prompt; the person's own goes to both.
        system=thread.system_prompt if is_base or thread.system_prompt is not None else model.system_prompt,
        sampling=dict(thread.sampling),
    )


async def history(session: AsyncSession, message: Message) -> Sequence[BaseMessage]:
    """What a conversation has come to before the answer ``message``, and the words that it answers, oldest first.

    Exchanges whose answer failed or was interrupted are left out: the model did not say them.
    """
    query = (
        select(Message)
        .where(
            Message.thread_id == message.thread_id,
            Message.conversation == message.conversation,
            Message.position <= message.position,
        )
        .order_by(Message.position.desc())
        .limit(2 * LONGEST_HISTORY)
    )
    rows = list(reversed((await session.scalars(query)).all()))
    said = {row.id: body.text for row in rows if isinstance(body := BODIES.validate_python(row.body), Said)}
    messages: list[BaseMessage] = []
    for row in rows:
        body = BODIES.validate_python(row.body)
        question = said.get((row.key or "").removeprefix("answer:"))
        if not isinstance(body, Answer) or question is None:
            continue
        if row.id == message.id:
            messages.append(HumanMessage(question))
        elif body.state in ("complete", "stopped") and body.markdown:
            messages += [HumanMessage(question), AIMessage(body.markdown)]
    return messages


async def last_question(session: AsyncSession, thread_id: str, service_id: str) -> str | None:
    """What a person last asked a service in a thread, of either speaker."""
    query = (
        select(Message)
        .where(
            Message.thread_id == thread_id,
            Message.role == Role.USER,
            Message.conversation.in_([conversation_key(service_id, "base"), conversation_key(service_id, "tuned")]),
        )
        .order_by(Message.position.desc())
        .limit(1)
    )
    message = await session.scalar(query)
    body = BODIES.validate_python(message.body) if message else None
    return body.text if isinstance(body, Said) else None
