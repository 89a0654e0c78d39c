"""Which messages of a face show ours, where posting one twice would show it twice."""

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Shown


async def parts_of(session: AsyncSession, message_id: str) -> Mapping[int, Shown]:
    """What shows a message, by part."""
    rows = await session.scalars(select(Shown).where(Shown.message_id == message_id).order_by(Shown.part))
    return {row.part: row for row in rows}


async def intend(session: AsyncSession, message_id: str, part: int) -> Shown:
    """Note that a part is going to be posted. A row that is there already was intended before, and may be posted."""
    row = await session.get(Shown, (message_id, part))
    if row is None:
        row = Shown(message_id=message_id, part=part, is_streaming=False)
        session.add(row)
        await session.flush()
    return row


async def change_shown(session: AsyncSession, message_id: str, part: int, **values: str | bool | None) -> None:
    """Note what a part shows now."""
    row = await session.get(Shown, (message_id, part))
    if row is None:
        return
    for name, value in values.items():
        setattr(row, name, value)


async def withdraw(session: AsyncSession, message_id: str, part: int) -> None:
    """A part is not shown, for certain: it was refused, or removed."""
    await session.execute(delete(Shown).where(Shown.message_id == message_id, Shown.part == part))
