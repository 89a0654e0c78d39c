"""Chainlit's view of our tables: lists, opens, renames and deletes threads; the assistant stores what is said."""

from datetime import datetime
from typing import Any

from chainlit.data.base import BaseDataLayer
from chainlit.element import Element, ElementDict
from chainlit.step import StepDict
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User
from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.replies import BODIES
from bot.stoppable import Stoppable
from chainlit_app.render import Drawing, draw
from storage import models
from storage.models import Message, Thread
from storage.store import Store
from storage.threads import find_thread, messages_of, open_user

FACE = "web"
"""The name of this face in ``threads.face``."""


class DataLayer(BaseDataLayer):
    """Reads and changes threads in the store; Chainlit's own writing of messages is not needed and does nothing."""

    def __init__(self, store: Store, under_way: Stoppable) -> None:
        self._store = store
        self._under_way = under_way

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """The person of that name."""
        async with self._store.reading() as session:
            user = await session.scalar(select(models.User).where(models.User.name == identifier))
        return _persisted(user) if user else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """The person of that name, made at the first sight."""
        async with self._store.transaction() as session:
            return _persisted(await open_user(session, user.identifier))

    async def get_thread_author(self, thread_id: str) -> str:
        """The name of the person whose thread it is; empty when there is no such thread."""
        async with self._store.reading() as session:
            query = select(models.User.name).join(Thread, Thread.user_id == models.User.id).where(*_is(thread_id))
            return await session.scalar(query) or ""

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[ThreadDict]:
        """A page of a person's threads, the one spoken in last first."""
        conditions: list[ColumnElement[bool]] = [Thread.face == FACE]
        if filters.userId:
            conditions.append(Thread.user_id == filters.userId)
        if filters.search:
            conditions.append(Thread.title.icontains(filters.search, autoescape=True))
        async with self._store.reading() as session:
            if pagination.cursor:
                conditions.append(await _after(session, pagination.cursor))
            query = (
                select(Thread, models.User.name)
                .join(models.User, models.User.id == Thread.user_id)
                .where(*conditions)
                .order_by(Thread.updated_at.desc(), Thread.face_key.desc())
                .limit(pagination.first + 1)
            )
            rows = (await session.execute(query)).all()
        shown = [_thread(thread, author, steps=[], elements=[]) for thread, author in rows[: pagination.first]]
        info = PageInfo(
            hasNextPage=len(rows) > pagination.first,
            startCursor=shown[0]["id"] if shown else None,
            endCursor=shown[-1]["id"] if shown else None,
        )
        return PaginatedResponse(pageInfo=info, data=shown)

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """A thread with all its messages, drawn from what the assistant stored."""
        async with self._store.reading() as session:
            thread = await session.scalar(select(Thread).where(*_is(thread_id)))
            if thread is None:
                return None
            author = await session.get(models.User, thread.user_id)
            messages = await messages_of(session, thread.id)
        drawings = [drawing_of(message, thread_id) for message in messages]
        steps = [drawing.step for drawing in drawings]
        elements = [drawing.element for drawing in drawings if drawing.element]
        return _thread(thread, author.name if author else "", steps=steps, elements=elements)

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """The card in a message; both have one id."""
        async with self._store.reading() as session:
            query = select(Message).join(Thread).where(*_is(thread_id), Message.id == element_id)
            message = await session.scalar(query)
        element = drawing_of(message, thread_id).element if message else None
        return ElementDict(**element) if element else None  # type: ignore[typeddict-item]

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Rename a thread. Chainlit also calls this to begin one and to keep a session's state: nothing here."""
        if name is None or user_id is not None:
            return
        async with self._store.transaction() as session:
            thread = await find_thread(session, face=FACE, key=thread_id)
            if thread and name.strip():
                thread.title = name.strip()[:200]

    async def delete_thread(self, thread_id: str) -> None:
        """Forget a thread and what was said in it, and stop who still speaks there; its runs and services go on."""
        async with self._store.transaction() as session:
            thread = await find_thread(session, face=FACE, key=thread_id)
            if thread is not None:
                self._under_way.stop(thread.id)
            await session.execute(delete(Thread).where(*_is(thread_id)))

    async def create_step(self, step_dict: StepDict) -> None:
        """Nothing: the assistant has stored what was said."""

    async def update_step(self, step_dict: StepDict) -> None:
        """Nothing: as for create_step."""

    async def delete_step(self, step_id: str) -> None:
        """Nothing: messages go with their thread."""

    async def create_element(self, element: Element) -> None:
        """Nothing: elements are drawn from messages, and files are taken in as data sets."""

    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Nothing: as for create_element."""

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Nothing: the page shows no thumbs."""
        return feedback.id or ""

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Nothing: as for upsert_feedback."""
        return False

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """None: the page shows no stars."""
        return []

    async def build_debug_url(self) -> str:
        """None."""
        return ""

    async def close(self) -> None:
        """Nothing: the application closes its store."""


def drawing_of(message: Message, thread_key: str) -> Drawing:
    """A stored message as Chainlit draws it."""
    body = BODIES.validate_python(message.body)
    return draw(body, message_id=message.id, thread_key=thread_key, created_at=message.created_at)


def _is(thread_key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Thread.face == FACE, Thread.face_key == thread_key


async def _after(session: AsyncSession, cursor: str) -> ColumnElement[bool]:
    """The threads behind the one named ``cursor``; none when that one is gone."""
    last = await session.scalar(select(Thread.updated_at).where(*_is(cursor)))
    moment = last or datetime.min.replace(tzinfo=models.now().tzinfo)
    return or_(Thread.updated_at < moment, and_(Thread.updated_at == moment, Thread.face_key < cursor))


def _persisted(user: models.User) -> PersistedUser:
    return PersistedUser(id=user.id, identifier=user.name, createdAt=user.created_at.isoformat())


def _thread(thread: Thread, author: str, *, steps: list[Any], elements: list[Any]) -> ThreadDict:
    return ThreadDict(
        id=thread.face_key,
        # The client sorts by this and calls it Today, Yesterday ...: when was it last spoken in.
        createdAt=thread.updated_at.isoformat(),
        name=thread.title or None,
        userId=thread.user_id,
        userIdentifier=author,
        tags=[],
        metadata={},
        steps=steps,
        elements=elements,
    )
