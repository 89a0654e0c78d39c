"""What happens in the page becomes turns for the assistant; nothing is decided here."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import chainlit as cl
import chainlit.socket as chainlit_socket
import structlog
from chainlit.config import config
from chainlit.context import context
from chainlit.server import sio
from chainlit.session import WebsocketSession
from chainlit.types import MessagePayload, Starter, ThreadDict
from chainlit.user import User
from sqlalchemy import select
from starlette.datastructures import Headers

from bot.commands import COMMANDS
from bot.dialogs.general import starters
from bot.ending import end
from bot.replies import Said, Text
from bot.texts import nearest_language, texts
from bot.turns import ThreadRef, Turn, UserRef
from bot.wiring import Application
from chainlit_app.data_layer import FACE, DataLayer, drawing_of
from chainlit_app.face import WebFace, emit
from chainlit_app.page import LOCAL_USER
from chainlit_app.render import draw
from chainlit_app.uploads import as_upload
from storage.database_errors import DatabaseAway, reaching
from storage.models import Message, now
from storage.threads import find_thread

log = structlog.get_logger(__name__)

PRESS_SECONDS = 20
"""How long a pressed button waits at most; what takes longer goes on and is shown when it comes."""

CATCH_UP = timedelta(seconds=10)
"""What changed so shortly before a page was drawn from the table is sent to it once more."""


class WebApp:
    """Chainlit's callbacks over one application."""

    def __init__(self, application: Application, face: WebFace) -> None:
        self._application = application
        self._face = face
        self._data_layer = DataLayer(application.world.store, application.speaking.under_way)
        self._tasks: set[asyncio.Task[None]] = set()
        self._orders: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """A thread's key -> the lock of what is said there."""

    def install(self) -> None:
        """Register everything with Chainlit, which keeps it in its module-wide configuration.

        Where Chainlit's decorators would add a step of their own to the thread, the callback is set directly.
        """
        cl.header_auth_callback(self.log_in)
        cl.data_layer(lambda: self._data_layer)
        cl.set_starters(self.starters)
        cl.action_callback("say")(self.pressed)
        config.code.on_message = self.on_message
        config.code.on_chat_start = self.send_commands
        config.code.on_chat_resume = self.on_resume
        config.code.on_chat_end = None
        config.ui.default_theme = "system"
        sio.on("client_message", self.on_client_message)
        sio.on("stop", self.on_stop)
        sio.on("edit_message", self.ignore)

    async def close(self) -> None:
        """End what is still under way; the database holds all that is needed to go on."""
        await end(self._tasks)

    async def log_in(self, headers: Headers) -> User:
        """The one local person: only this machine reaches the server."""
        return User(identifier=LOCAL_USER)

    async def starters(self, user: User | None, language: str | None) -> list[Starter]:
        """What the first screen offers."""
        choices = starters(nearest_language(language or ""))
        return [Starter(label=choice.label, message=choice.say) for choice in choices]

    async def send_commands(self) -> None:
        """Fill the composer's "/" menu."""
        text = texts(nearest_language(this_page().language))
        commands = [
            {
                "id": command.name,
                "icon": command.icon,
                "description": text(f"command.{command.name}"),
                "button": False,
                "persistent": False,
            }
            for command in COMMANDS
        ]
        await emit(this_page(), "set_commands", commands)

    async def on_resume(self, thread: ThreadDict) -> None:
        """A page opens a thread: it is drawn from the table by Chainlit, and then must not miss what came meanwhile."""
        session = this_page()
        await self.send_commands()
        self._face.forget(session)
        self._begin(self._catch_up(session))

    async def on_client_message(self, socket_id: str, payload: MessagePayload) -> None:
        """What the composer sent goes on to Chainlit, which would leave out in silence files that it does not know.

        A server that was started anew has none of what was attached before.
        """
        session = WebsocketSession.require(socket_id)
        message = payload["message"]
        references = payload.get("fileReferences") or []
        files = [session.files.get(reference["id"]) for reference in references]
        if all(files) and (files or message["output"].strip() or message.get("command")):
            await chainlit_socket.message(socket_id, payload)
            return
        for file in filter(None, files):
            del session.files[file["id"]]
        await asyncio.to_thread(_remove, [Path(file["path"]) for file in filter(None, files)])
        turn = self._turn(session, event_id=message["id"], text=message["output"])
        await self._say(session, turn, "web.upload.lost")

    async def on_message(self, message: cl.Message) -> None:
        """Somebody wrote, or sent files."""
        session = this_page()
        files = await self._take_files(session, message)
        text = f"/{message.command} {message.content}".strip() if message.command else message.content
        turn = self._turn(
            session,
            event_id=message.id,
            text=text,
            uploads=tuple(as_upload(name, path) for name, path in files),
            message_id=message.id,
        )
        await asyncio.shield(self._begin(self._handle(session, turn, [path for _, path in files])))

    async def pressed(self, action: cl.Action) -> dict[str, bool]:
        """A button or a form of a card. What it sends can be forged: it is taken as something said, no more."""
        session = this_page()
        payload = action.payload
        event_id = _uuid(payload.get("id"))
        label = _string(payload.get("label"))
        turn = self._turn(
            session,
            event_id=event_id,
            text=_string(payload.get("say")),
            about=_string(payload.get("about")) or None,
            answers=_answers(payload.get("answers")),
            said_as=label or None,
            message_id=event_id,
        )
        await asyncio.wait([self._begin(self._handle(session, turn, []))], timeout=PRESS_SECONDS)
        return {"ok": True}

    async def on_stop(self, socket_id: str) -> None:
        """Chainlit's own stop button: in place of Chainlit's handler, which would cancel the turn in the middle."""
        session = WebsocketSession.get(socket_id)
        if session is None:
            return
        await emit(session, "task_end", {})
        label = texts(nearest_language(session.language))("web.stop")
        event_id = str(uuid4())
        turn = self._turn(session, event_id=event_id, text="/stop answer", said_as=label, message_id=event_id)
        self._begin(self._handle(session, turn, []))

    async def ignore(self, *_: object) -> None:
        """An event of Chainlit's client that we do not offer."""

    def _turn(self, session: WebsocketSession, *, event_id: str, text: str, **given: Any) -> Turn:
        return Turn(
            event_id=event_id,
            thread=ThreadRef(face=FACE, key=session.thread_id),
            user=UserRef(name=session.user.identifier if session.user else LOCAL_USER),
            text=text,
            language=nearest_language(session.language),
            **given,
        )

    async def _handle(self, session: WebsocketSession, turn: Turn, files: list[Path]) -> None:
        is_first = False
        await self._show_said(turn)
        try:
            with reaching():
                # What is said in one breath is handled in the order in which it was said.
                async with self._order_in(turn.thread.key):
                    is_first = not await self._data_layer.get_thread_author(turn.thread.key)
                    taken = await self._application.assistant.take(turn)
                if taken:
                    # A page that connects anew is drawn from the table, also where its thread began in it ...
                    session.thread_id_to_resume = turn.thread.key
                    # ... and where it did so meanwhile, this did not stand there yet.
                    await self._show_said(turn)
                    await self._application.assistant.follow(taken)
        except DatabaseAway:
            log.warning("web.without_database", thread=turn.thread.key, turn_id=turn.event_id)
            await self._say(session, turn, "error.database")
        except Exception:
            log.exception("web.turn_failed", thread=turn.thread.key, turn_id=turn.event_id)
            await self._say(session, turn, "error.bug")
        finally:
            await asyncio.to_thread(_remove, files)
        if is_first:
            # The thread is in the table only now: the page lists its threads again.
            announced = {"interaction": f"{turn.text}\u200b", "thread_id": turn.thread.key}
            await emit(session, "first_interaction", announced)

    async def _show_said(self, turn: Turn) -> None:
        """Show what the person said in all pages of the thread, as it will be kept."""
        said = Said(text=turn.said_as or turn.text, files=tuple(upload.name for upload in turn.uploads))
        if turn.message_id and (said.text or said.files):
            await self._face.show_said(turn.thread.key, said, message_id=turn.message_id)

    async def _say(self, session: WebsocketSession, turn: Turn, code: str) -> None:
        """Say a sentence on the page that asked alone; nothing keeps it."""
        sentence = Text(markdown=texts(turn.language)(code), tone="bad")
        await self._face.send(session, draw(sentence, message_id=str(uuid4()), thread_key=turn.thread.key))

    async def _take_files(self, session: WebsocketSession, message: cl.Message) -> list[tuple[str, Path]]:
        """The files of a message; Chainlit's cards of them go, since their names stand in the message itself."""
        files = []
        for element in message.elements:
            await emit(session, "remove_element", {"id": element.id})
            session.files.pop(element.id, None)
            if element.path:
                files.append((element.name, Path(element.path)))
        return files

    async def _catch_up(self, session: WebsocketSession) -> None:
        since = now() - CATCH_UP
        # Chainlit sends the thread right after on_chat_resume: this comes behind it.
        await asyncio.sleep(0.3)
        store = self._application.world.store
        async with store.reading() as reading:
            thread = await find_thread(reading, face=FACE, key=session.thread_id)
        if thread is None:
            return
        query = (
            select(Message)
            .where(Message.thread_id == thread.id, Message.updated_at >= since)
            .order_by(Message.position)
        )
        async with self._application.delivery.alone_in(thread.id):
            async with store.reading() as reading:
                messages = (await reading.scalars(query)).all()
            for message in messages:
                await self._face.send(session, drawing_of(message, session.thread_id))

    def _order_in(self, thread_key: str) -> asyncio.Lock:
        return self._orders.setdefault(thread_key, asyncio.Lock())

    def _begin(self, act: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def this_page() -> WebsocketSession:
    """The page whose event is being handled."""
    session = context.session
    if not isinstance(session, WebsocketSession):
        raise TypeError("this event came from no page")
    return session


def _string(value: object) -> str:
    return value[:20_000] if isinstance(value, str) else ""


def _uuid(value: object) -> str:
    """The press's own id, which makes a repeated delivery harmless; a fresh one where the client sent none."""
    try:
        return str(UUID(value)) if isinstance(value, str) else str(uuid4())
    except ValueError:
        return str(uuid4())


def _answers(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, Mapping):
        return None
    return {str(name): _string(answer) for name, answer in value.items()}


def _remove(files: list[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()
