"""Saying what may have been said already: a card only when it changed."""

from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import say
from bot.replies import BODIES, Reply
from storage.models import Thread
from storage.threads import find_message


async def say_if_changed(session: AsyncSession, thread: Thread, reply: Reply) -> list[str]:
    """Say a reply with a key unless the thread says exactly that; returns the ids of what is to be shown."""
    if reply.key is None:
        raise ValueError("a reply without a key cannot be said again")
    message = await find_message(session, thread.id, reply.key)
    if message is not None and message.body == BODIES.dump_python(reply, mode="json"):
        return []
    return [(await say(session, thread, reply)).id]


async def say_once(session: AsyncSession, thread: Thread, reply: Reply) -> list[str]:
    """Say a reply with a key unless the thread has said anything under that key."""
    if reply.key is None:
        raise ValueError("a reply without a key cannot be said once")
    if await find_message(session, thread.id, reply.key) is not None:
        return []
    return [(await say(session, thread, reply)).id]
