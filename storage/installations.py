"""Where the app is installed, its tokens encrypted by the face."""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Installation, now


async def put_installation(session: AsyncSession, *, face: str, workspace: str, content: str) -> None:
    """Keep an installation, in place of an earlier one of the workspace."""
    await session.merge(Installation(face=face, workspace=workspace, content=content, updated_at=now()))


async def find_installation(session: AsyncSession, *, face: str, workspace: str) -> str | None:
    """The encrypted installation in a workspace."""
    query = select(Installation.content).where(Installation.face == face, Installation.workspace == workspace)
    return await session.scalar(query)


async def drop_installation(session: AsyncSession, *, face: str, workspace: str) -> None:
    """Forget an installation with its tokens."""
    await session.execute(delete(Installation).where(Installation.face == face, Installation.workspace == workspace))
