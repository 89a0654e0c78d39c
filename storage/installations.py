"""Where the app is installed, its tokens encrypted by the face."""

from collections.abc import Sequence
from datetime import datetime

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


async def all_installations(session: AsyncSession, *, face: str) -> Sequence[str]:
    """The encrypted installations in all workspaces."""
    query = select(Installation.content).where(Installation.face == face).order_by(Installation.workspace)
    return (await session.scalars(query)).all()


async def drop_installation(session: AsyncSession, *, face: str, workspace: str, kept_before: datetime) -> None:
    """Forget an installation with its tokens, unless it was kept later than that."""
    query = delete(Installation).where(Installation.face == face, Installation.workspace == workspace)
    await session.execute(query.where(Installation.updated_at < kept_before))
