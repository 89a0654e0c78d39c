"""Deliveries that were acknowledged and wait to be handled."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Inbox, SeenEvent, Thread

MOST_IDS = 500
"""In one question: databases have a limit, and one question for each would be slow."""


async def put_deliveries(session: AsyncSession, rows: Iterable[Inbox]) -> None:
    """Keep deliveries; one that waits already, or was handled before, is left alone."""
    fresh = {(row.face, row.event_id): row for row in reversed(list(rows))}
    for known in (Inbox, SeenEvent):
        for face in {face for face, _ in fresh}:
            ids = [event_id for other, event_id in fresh if other == face]
            for begin in range(0, len(ids), MOST_IDS):
                some = ids[begin : begin + MOST_IDS]
                query = select(known.event_id).where(known.face == face, known.event_id.in_(some))
                for event_id in await session.scalars(query):
                    fresh.pop((face, event_id), None)
    session.add_all(fresh.values())
    await session.flush()


async def next_delivery(session: AsyncSession, *, face: str, thread_key: str) -> Inbox | None:
    """The delivery of a thread that happened first."""
    query = (
        select(Inbox)
        .where(Inbox.face == face, Inbox.thread_key == thread_key)
        .order_by(Inbox.place, Inbox.received_at)
        .limit(1)
    )
    return await session.scalar(query)


async def waiting_threads(session: AsyncSession, *, face: str) -> Sequence[str]:
    """Keys of the threads that deliveries wait for, the longest wait first."""
    query = select(Inbox.thread_key).where(Inbox.face == face).order_by(Inbox.received_at)
    return list(dict.fromkeys(await session.scalars(query)))


async def drop_delivery(session: AsyncSession, *, face: str, event_id: str) -> None:
    """A delivery was handled."""
    await session.execute(delete(Inbox).where(Inbox.face == face, Inbox.event_id == event_id))


async def is_ours(session: AsyncSession, *, face: str, thread_key: str) -> bool:
    """Whether a thread is one of ours, or will be as soon as what waits for it is handled."""
    if await session.scalar(select(Thread.id).where(Thread.face == face, Thread.face_key == thread_key)):
        return True
    waiting = select(Inbox.event_id).where(Inbox.face == face, Inbox.thread_key == thread_key).limit(1)
    return await session.scalar(waiting) is not None
