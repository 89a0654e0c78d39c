"""Showing messages on their faces: once each, in order, the newest revision."""

from asyncio import Lock
from collections.abc import Iterable, Mapping
from weakref import WeakValueDictionary

import structlog

from bot.faces import Face, Unreachable
from bot.replies import BODIES, Reply, Said
from bot.turns import ThreadRef
from storage.store import Store
from storage.threads import due_messages, find_message_with_thread, note_not_shown, note_shown

log = structlog.get_logger(__name__)


class Delivery:
    """Shows messages of the database on the faces of this process."""

    def __init__(self, store: Store, faces: Mapping[str, Face]) -> None:
        self._store = store
        self._faces = faces
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    @property
    def faces(self) -> tuple[str, ...]:
        """The names of the faces of this process."""
        return tuple(self._faces)

    async def deliver(self, message_ids: Iterable[str]) -> None:
        """Show these messages in this order; what cannot be shown stays in the outbox."""
        for message_id in dict.fromkeys(message_ids):
            # One showing of a message at a time, each of what is newest by then: an older state never comes last.
            async with self._locks.setdefault(message_id, Lock()):
                await self._show_newest(message_id)

    async def deliver_due(self) -> int:
        """Show what the outbox holds for the faces of this process; returns how many messages were due."""
        if not self._faces:
            return 0
        async with self._store.reading() as session:
            due = await due_messages(session, faces=self._faces)
        await self.deliver(due)
        return len(due)

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Show a reply that is still growing; its last state goes through the outbox."""
        try:
            await self._faces[thread.face].show(thread, reply, message_id=message_id, shown_as=shown_as)
        except Unreachable:
            log.info("face.unreachable", message=message_id)

    async def _show_newest(self, message_id: str) -> None:
        async with self._store.reading() as session:
            found = await find_message_with_thread(session, message_id)
        if found is None or found[1].face not in self._faces:
            return
        message, thread = found
        body = BODIES.validate_python(message.body)
        if isinstance(body, Said):
            return
        try:
            shown_as = await self._faces[thread.face].show(
                ThreadRef(face=thread.face, key=thread.face_key),
                body,
                message_id=message.id,
                shown_as=message.shown_as,
            )
        except Exception as error:  # a face's bug must not stop the other messages; the outbox tries again
            if not isinstance(error, Unreachable):
                log.exception("face.failed", message=message_id, face=thread.face)
            async with self._store.transaction() as session:
                await note_not_shown(session, message_id, error=type(error).__name__)
            return
        async with self._store.transaction() as session:
            await note_shown(session, message_id, revision=message.revision, shown_as=shown_as)
