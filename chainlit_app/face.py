"""The web's face: shows messages in every open page of their thread."""

from typing import Any, ClassVar

from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_id

from bot.replies import Reply, Said
from bot.turns import ThreadRef
from chainlit_app.render import Drawing, draw


class WebFace:
    """Implements ``bot.faces.Face``. Where no page is open nothing is to do: a page draws its thread from the table.

    While an answer grows, a page that has its beginning gets the new words only.
    """

    is_remote: ClassVar[bool] = False
    only_thread: ClassVar[str | None] = None

    def __init__(self) -> None:
        self._sent: dict[str, dict[str, str]] = {}
        """Of answers that grow: message id -> socket id -> the text that page has."""

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        """Draw ``reply`` in all open pages of the thread; its id there is ``message_id``, so again is the same."""
        drawing = draw(reply, message_id=message_id, thread_key=thread.key)
        for session in live_sessions(thread.key):
            await self.send(session, drawing)
        if not drawing.step["streaming"]:
            self._sent.pop(message_id, None)
        return message_id

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Draw a growing reply: a page takes every state."""
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)

    async def show_said(self, thread_key: str, said: Said, *, message_id: str) -> None:
        """Draw what a person said, in the page where they said it as in the others."""
        drawing = draw(said, message_id=message_id, thread_key=thread_key)
        for session in live_sessions(thread_key):
            await self.send(session, drawing)

    async def send(self, session: WebsocketSession, drawing: Drawing) -> None:
        """Draw a message in one page."""
        step = drawing.step
        if step["streaming"] and await self._send_growth(session, step["id"], step["output"]):
            return
        if drawing.element:
            await emit(session, "element", drawing.element)
        else:
            await emit(session, "remove_element", {"id": step["id"]})
        await emit(session, "new_message", step)
        if step["streaming"]:
            # The page is told that the task has ended, so that its person can write while the answer grows.
            await emit(session, "task_end", {})

    def forget(self, session: WebsocketSession) -> None:
        """The page is drawn anew from the table: what it was sent before counts no longer."""
        for texts in self._sent.values():
            texts.pop(session.socket_id, None)

    async def _send_growth(self, session: WebsocketSession, message_id: str, text: str) -> bool:
        """Send what was added to an answer; False where the page needs the whole of it."""
        texts = self._sent.setdefault(message_id, {})
        before = texts.get(session.socket_id)
        texts[session.socket_id] = text
        if before is None or not text.startswith(before):
            return False
        if text != before:
            added = text[len(before) :]
            await emit(
                session, "stream_token", {"id": message_id, "token": added, "isSequence": False, "isInput": False}
            )
        return True


def live_sessions(thread_key: str) -> list[WebsocketSession]:
    """The open pages of a thread. Chainlit has no public way to find them; a test holds this one."""
    return [
        session
        for session in list(ws_sessions_id.values())
        if session.thread_id == thread_key and sio.manager.is_connected(session.socket_id, "/")
    ]


async def emit(session: WebsocketSession, event: str, data: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Send an event of Chainlit's protocol to one page."""
    await sio.emit(event, data, to=session.socket_id)
