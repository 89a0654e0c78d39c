"""Showing messages on their faces: once each, in order, the newest revision."""

from asyncio import CancelledError, Future, Lock, Task, create_task, ensure_future, gather, sleep, wait
from collections.abc import Iterable, Mapping
from datetime import timedelta
from weakref import WeakValueDictionary

import structlog

from bot.faces import Face, NeverShown, Unreachable
from bot.replies import BODIES, Reply, Said
from bot.turns import ThreadRef
from storage.database_errors import is_away
from storage.models import Message, Thread, now
from storage.store import Store
from storage.threads import (
    Waiting,
    drop_outbox,
    due_threads,
    note_not_shown,
    note_shown,
    outbox_of,
    threads_of,
)

log = structlog.get_logger(__name__)

ONCE_AGAIN_AFTER_S = (1.0, 3.0, 10.0)
"""Pauses before what nothing keeps is tried again; a face that says how long it is busy is given that time."""
LONGEST_PAUSE_S = 10.0
MAY_COME_BACK = timedelta(days=7)
"""Whoever was put out of a place may be let in again, and must not find an old state of what stands there."""
LOOKED_FOR_EVERY_S = 300.0


class Delivery:
    """Shows messages of the database on the faces of this process: a thread's own in the order they were said."""

    def __init__(self, store: Store, faces: Mapping[str, Face]) -> None:
        self._store = store
        self._faces = faces
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._tasks: dict[str, Task[None]] = {}
        """Thread id -> its showing on a remote face."""
        self._showing: set[Future[str]] = set()
        """What a remote face is doing: at the end it is broken off, and the database is left to finish its sentence."""
        self._is_closing = False
        self._wanted: set[str] = set()
        """Ids of threads in which something may be due on a remote face."""

    @property
    def shown(self) -> Mapping[str, str | None]:
        """What the faces of this process show: name -> the key of its only thread; None: all of its threads."""
        return {name: face.only_thread for name, face in self._faces.items()}

    async def deliver(self, message_ids: Iterable[str]) -> None:
        """Show what is due in the threads of these messages; what cannot be shown stays in the outbox."""
        async with self._store.reading() as session:
            threads = await threads_of(session, list(message_ids))
        await self._deliver_threads(threads)

    async def deliver_in(self, thread: Thread) -> None:
        """Show what is due in a thread."""
        await self._deliver_threads([thread])

    async def deliver_due(self) -> None:
        """Show what the outbox holds for the faces of this process."""
        if not self._faces:
            return
        async with self._store.reading() as session:
            threads = await due_threads(session, faces=self.shown)
        await self._deliver_threads(threads)

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Show a reply that is still growing; its last state goes through the outbox."""
        face = self._face_of(thread.face, thread.key)
        if face is None:
            return
        try:
            await face.grow(thread, reply, message_id=message_id, shown_as=shown_as)
        except Unreachable:
            log.info("face.unreachable", message=message_id)

    async def show_once(self, thread: Thread, message_id: str, reply: Reply) -> bool:
        """Show ``reply`` over a message, which is shown first; nothing keeps it, so a face that cannot be reached is
        tried for a moment. False where it could not be shown."""
        if self._face_of(thread.face, thread.face_key) is None:
            return False
        pauses = iter(ONCE_AGAIN_AFTER_S)
        while True:
            try:
                await self._show_over(thread, message_id, reply)
            except NeverShown as error:
                log.info("face.gone", message=message_id, face=thread.face, reason=str(error))
                return False
            except Unreachable as error:
                log.info("face.unreachable", message=message_id)
                pause_s = next(pauses, None)
                if pause_s is None or self._is_closing:
                    return False
                await sleep(max(pause_s, min(error.after_s or 0.0, LONGEST_PAUSE_S)))
            else:
                return True

    def alone_in(self, thread_id: str) -> Lock:
        """Held while a thread is shown: what is read under it and shown at once is never older than what is there."""
        return self._locks.setdefault(thread_id, Lock())

    async def _show_over(self, thread: Thread, message_id: str, reply: Reply) -> None:
        """Raises Unreachable, NeverShown."""
        await self._show_thread(thread.id)
        async with self.alone_in(thread.id):
            async with self._store.reading() as session:
                message = await session.get(Message, message_id)
            if message is None:
                raise NeverShown("the message is gone")
            if message.shown_as is None:
                raise Unreachable("the message itself waits to be shown")
            await self._show_on(self._faces[thread.face], message, thread, reply)

    async def close(self) -> None:
        """Break off what is being shown on remote faces, and begin nothing more there; the outbox has it."""
        self._is_closing = True
        for showing in list(self._showing):
            showing.cancel()
        if self._tasks:
            await wait(list(self._tasks.values()))

    async def _deliver_threads(self, threads: Iterable[Thread]) -> None:
        for thread in threads:
            face = self._face_of(thread.face, thread.face_key)
            if face is None:
                continue
            if face.is_remote:
                self._begin(thread.id)
            else:
                await self._show_thread(thread.id)

    def _face_of(self, name: str, key: str) -> Face | None:
        """The face of this process that shows a thread; None where another process has it, or nobody."""
        face = self._faces.get(name)
        return face if face is not None and face.only_thread in (None, key) else None

    def _begin(self, thread_id: str) -> None:
        """Show in the background; a showing under way goes round once more, since it may have looked before."""
        if self._is_closing:
            return
        self._wanted.add(thread_id)
        if thread_id not in self._tasks:
            self._tasks[thread_id] = create_task(self._show_while_wanted(thread_id))

    async def _show_while_wanted(self, thread_id: str) -> None:
        try:
            while thread_id in self._wanted:
                self._wanted.discard(thread_id)
                await self._show_thread(thread_id)
        except Exception as error:
            if is_away(error):
                log.warning("delivery.no_database", thread=thread_id)
            else:
                log.exception("delivery.failed", thread=thread_id)
        finally:
            del self._tasks[thread_id]

    async def _show_thread(self, thread_id: str) -> None:
        """Show what is due of a thread. A message that was never shown holds back those after it."""
        # One showing of a thread at a time, each of what is newest by then: an older state never comes last.
        async with self.alone_in(thread_id):
            async with self._store.reading() as session:
                waiting = await outbox_of(session, thread_id)
            for place, one in enumerate(waiting):
                if self._is_closing:
                    return
                went_well = one.is_due and await self._try(one, is_fresh=place == 0)
                if not went_well and not one.was_shown:
                    return

    async def _try(self, one: Waiting, *, is_fresh: bool) -> bool:
        """Show a message; False where it must wait. ``is_fresh``: it was read just now."""
        message_id, thread = one.message.id, one.thread
        message: Message | None = one.message
        try:
            if self._faces[thread.face].is_remote and not is_fresh:
                # Those before it may have taken long.
                async with self._store.reading() as session:
                    message = await session.get(Message, message_id)
            return await self._show(message, thread) if message else True
        except Unreachable as error:
            await self._note_not_shown(message_id, error, after_s=error.after_s)
            return False
        except Exception as error:  # a face's bug must not stop the other messages; the outbox tries again
            if is_away(error):
                raise
            log.exception("face.failed", message=message_id, face=thread.face)
            await self._note_not_shown(message_id, error)
            return True

    async def _show(self, message: Message, thread: Thread) -> bool:
        body = BODIES.validate_python(message.body)
        if isinstance(body, Said):
            return True
        try:
            shown_as = await self._show_on(self._faces[thread.face], message, thread, body)
        except NeverShown as error:
            log.info("face.gone", message=message.id, face=thread.face, reason=str(error))
            if message.shown_as is not None and now() - message.updated_at < MAY_COME_BACK:
                raise Unreachable(str(error), after_s=LOOKED_FOR_EVERY_S) from error
            async with self._store.transaction() as session:
                await drop_outbox(session, message.id)
            return True
        async with self._store.transaction() as session:
            await note_shown(session, message.id, revision=message.revision, shown_as=shown_as)
        return True

    async def _show_on(self, face: Face, message: Message, thread: Thread, body: Reply) -> str:
        where = ThreadRef(face=thread.face, key=thread.face_key)
        if face.is_remote and self._is_closing:
            raise Unreachable("closing", after_s=0)
        act = face.show(where, body, message_id=message.id, shown_as=message.shown_as)
        if not face.is_remote:
            return await act
        showing = ensure_future(act)
        self._showing.add(showing)
        try:
            return await showing
        except CancelledError:
            if not self._is_closing:
                showing.cancel()
                # It may be in the middle of a sentence to the database, which is closed next.
                await gather(showing, return_exceptions=True)
                raise
            raise Unreachable("closing", after_s=0) from None
        finally:
            self._showing.discard(showing)

    async def _note_not_shown(self, message_id: str, error: Exception, *, after_s: float | None = None) -> None:
        async with self._store.transaction() as session:
            await note_not_shown(session, message_id, error=type(error).__name__, after_s=after_s)
