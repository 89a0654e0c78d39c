"""Names that people give and type: free ones."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

LONGEST_NAME = 63


async def free_name(session: AsyncSession, column: InstrumentedAttribute[str], wanted: str) -> str:
    """``wanted``, or the first of ``wanted-2``, ``wanted-3`` ... that no row has in ``column``."""
    stem = wanted[: LONGEST_NAME - 5].rstrip("-")
    taken = set((await session.scalars(select(column).where(column.startswith(stem, autoescape=True)))).all())
    if wanted not in taken:
        return wanted
    number = 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"
