"""What people think of answers."""

from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Message, Rating, now
from storage.threads import open_user


async def rate(session: AsyncSession, *, message_id: str, user_name: str, is_good: bool) -> bool:
    """Keep a person's opinion of an answer, in place of an earlier one; False where there is no such message."""
    if await session.get(Message, message_id) is None:
        return False
    user = await open_user(session, user_name)
    await session.merge(Rating(message_id=message_id, user_id=user.id, is_good=is_good, rated_at=now()))
    return True
