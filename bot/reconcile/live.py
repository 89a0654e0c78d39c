"""Saying what may have been said already: a card only when it changed."""

from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import say
from bot.replies import BODIES, Reply
from storage.models import Run, Thread
from storage.runs import points_of
from storage.threads import find_message
from training.runs import AttemptProgress, Point


async def say_if_changed(session: AsyncSession, thread: Thread, reply: Reply) -> list[str]:
    """Say a reply with a key unless the thread says exactly that; returns the ids of what is to be shown."""
    if reply.key is None:
        raise ValueError("a reply without a key cannot be said again")
    message = await find_message(session, thread.id, reply.key)
    if message is not None and message.body == BODIES.dump_python(reply, mode="json"):
        return []
    return [(await say(session, thread, reply)).id]


async def recorded_progress(session: AsyncSession, run: Run) -> AttemptProgress:
    """How far a run was when it was last looked at."""
    points = tuple(
        Point(step=row.step, training_loss=row.training_loss, validation_loss=row.validation_loss)
        for row in await points_of(session, run.id)
    )
    step = points[-1].step if points else 0
    return AttemptProgress(step=step, steps=int(run.estimate.get("steps", 0)), points=points)


async def say_once(session: AsyncSession, thread: Thread, reply: Reply) -> list[str]:
    """Say a reply with a key unless the thread has said anything under that key."""
    if reply.key is None:
        raise ValueError("a reply without a key cannot be said once")
    if await find_message(session, thread.id, reply.key) is not None:
        return []
    return [(await say(session, thread, reply)).id]
