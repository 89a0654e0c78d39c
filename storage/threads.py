"""Threads, their messages, and what their faces have yet to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, false, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Message, Outbox, SeenEvent, Thread, User, new_id, now
from storage.states import MessageState, Role

RETRY_SECONDS = (1, 5, 30, 300)
"""How long the outbox waits after the first, second ... failed showing; the last one for all further ones."""


async def mark_seen(session: AsyncSession, *, face: str, event_id: str) -> bool:
    """Note a delivery; False when it was handled before."""
    if await session.get(SeenEvent, (face, event_id)):
        return False
    session.add(SeenEvent(face=face, event_id=event_id))
    return True


async def find_thread(session: AsyncSession, *, face: str, key: str) -> Thread | None:
    """The thread that a face knows as ``key``."""
    return await session.scalar(select(Thread).where(Thread.face == face, Thread.face_key == key))


async def open_thread(
    session: AsyncSession, *, face: str, key: str, user_name: str, language: str
) -> tuple[Thread, bool]:
    """The thread that a face knows as ``key``, and whether it was made just now."""
    thread = await find_thread(session, face=face, key=key)
    if thread:
        return thread, False
    user = await open_user(session, user_name)
    thread = Thread(id=new_id(), face=face, face_key=key, user_id=user.id, language=language, messages_count=0)
    session.add(thread)
    await session.flush()
    return thread, True


async def open_user(session: AsyncSession, name: str) -> User:
    """The person of that name, made at the first sight."""
    user = await session.scalar(select(User).where(User.name == name))
    if user is None:
        user = User(id=new_id(), name=name)
        session.add(user)
        await session.flush()
    return user


async def put_message(
    session: AsyncSession,
    thread: Thread,
    *,
    role: Role,
    body: Mapping[str, Any],
    message_id: str | None = None,
    key: str | None = None,
    conversation: str | None = None,
    state: MessageState = MessageState.COMPLETE,
) -> Message:
    """Add a message to ``thread``, or replace its message of ``key``; what we say goes into the outbox."""
    message = await find_message(session, thread.id, key) if key else None
    if message:
        message.body, message.state = dict(body), state
        message.revision += 1
        message.updated_at = now()
    else:
        message = Message(
            id=message_id or new_id(),
            thread_id=thread.id,
            position=thread.messages_count,
            key=key,
            role=role,
            body=dict(body),
            conversation=conversation,
            state=state,
            revision=1,
        )
        thread.messages_count += 1
        session.add(message)
    thread.updated_at = now()
    await session.flush()
    if role is Role.ASSISTANT:
        await session.merge(Outbox(message_id=message.id, thread_id=thread.id, face=thread.face, not_before=now()))
    return message


async def note_growing(session: AsyncSession, message_id: str, body: Mapping[str, Any] | None) -> bool:
    """Note that somebody works on a message that grows, and what it has come to; False where it grows no more.

    One statement and no reading: it is done every second for every answer that is being given.
    """
    grown = {"updated_at": now()} if body is None else {"updated_at": now(), "body": dict(body)}
    query = update(Message).where(Message.id == message_id, Message.state == MessageState.STREAMING).values(grown)
    # Nobody else in this session has read it.
    found = await session.scalar(query.returning(Message.id), execution_options={"synchronize_session": False})
    return found is not None


async def find_message(session: AsyncSession, thread_id: str, key: str) -> Message | None:
    """The thread's message of that key."""
    return await session.scalar(select(Message).where(Message.thread_id == thread_id, Message.key == key))


async def messages_keyed(session: AsyncSession, thread_id: str, prefix: str) -> Sequence[Message]:
    """The messages of a thread whose keys begin alike, in order."""
    query = select(Message).where(Message.thread_id == thread_id, Message.key.startswith(prefix, autoescape=True))
    return (await session.scalars(query.order_by(Message.position))).all()


async def newest_reply(session: AsyncSession, thread_id: str) -> Message | None:
    """What we said last in a thread."""
    query = select(Message).where(Message.thread_id == thread_id, Message.role == Role.ASSISTANT)
    return await session.scalar(query.order_by(Message.position.desc()).limit(1))


async def messages_of(session: AsyncSession, thread_id: str) -> Sequence[Message]:
    """All messages of a thread, in order."""
    query = select(Message).where(Message.thread_id == thread_id).order_by(Message.position)
    return (await session.scalars(query)).all()


async def threads_of(session: AsyncSession, message_ids: Sequence[str]) -> Sequence[Thread]:
    """The threads in which these messages wait to be shown."""
    waiting = select(Outbox.thread_id).where(Outbox.message_id.in_(message_ids))
    return (await session.scalars(select(Thread).where(Thread.id.in_(waiting)))).all()


async def due_threads(session: AsyncSession, *, faces: Mapping[str, str | None]) -> Sequence[Thread]:
    """The threads in which these faces should show something now; ``faces`` as :func:`is_shown_by` takes them."""
    due = select(Outbox.thread_id).where(Outbox.face.in_(list(faces)), Outbox.not_before <= now())
    return (await session.scalars(select(Thread).where(Thread.id.in_(due), is_shown_by(faces)))).all()


def is_shown_by(faces: Mapping[str, str | None]) -> ColumnElement[bool]:
    """Of a thread: whether one of these faces shows it. ``faces``: name -> the key of its only thread; None: all."""
    own = [
        Thread.face == face if key is None else and_(Thread.face == face, Thread.face_key == key)
        for face, key in faces.items()
    ]
    return or_(false(), *own)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A message that waits to be shown."""

    message: Message
    thread: Thread
    is_due: bool

    @property
    def was_shown(self) -> bool:
        """Whether an earlier state of it is shown already."""
        return self.message.shown_as is not None


async def outbox_of(session: AsyncSession, thread_id: str) -> Sequence[Waiting]:
    """The messages of a thread that wait to be shown, in the order in which they were said."""
    query = (
        select(Message, Thread, Outbox.not_before)
        .join(Outbox, Outbox.message_id == Message.id)
        .join(Thread, Thread.id == Message.thread_id)
        .where(Outbox.thread_id == thread_id)
        .order_by(Message.position)
    )
    at = now()
    return [
        Waiting(message=message, thread=thread, is_due=not_before <= at)
        for message, thread, not_before in await session.execute(query)
    ]


async def drop_outbox(session: AsyncSession, message_id: str) -> None:
    """Nothing of a message waits to be shown any more."""
    await session.execute(delete(Outbox).where(Outbox.message_id == message_id))


async def note_shown(session: AsyncSession, message_id: str, *, revision: int, shown_as: str) -> None:
    """A face shows ``revision`` of a message; a newer one stays in the outbox."""
    message = await session.get(Message, message_id)
    if message is None:
        return
    if message.shown_as != shown_as:
        message.shown_as = shown_as
    if message.revision == revision:
        await drop_outbox(session, message_id)


async def note_not_shown(session: AsyncSession, message_id: str, *, error: str, after_s: float | None = None) -> None:
    """A face could not show a message: try again later, after ``after_s`` where the face says so."""
    row = await session.get(Outbox, message_id)
    if row is None:
        return
    wait_s = after_s if after_s is not None else RETRY_SECONDS[min(row.attempts, len(RETRY_SECONDS) - 1)]
    row.attempts += 1
    row.last_error = error
    row.not_before = now() + timedelta(seconds=wait_s)


async def is_outbox_empty(session: AsyncSession, thread_id: str) -> bool:
    """Whether everything said in a thread has been shown."""
    return await session.scalar(select(Outbox.message_id).where(Outbox.thread_id == thread_id).limit(1)) is None
