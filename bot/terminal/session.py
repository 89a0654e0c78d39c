"""A conversation in the terminal: lines in, turns to the assistant, and an exit code at the end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

from bot.replies import BODIES, Form, Said
from bot.terminal.face import TerminalFace
from bot.terminal.rendering import Line, short
from bot.terminal.typed import NoFile, Typed, parse_line, upload
from bot.texts import texts
from bot.turns import ThreadRef, Turn
from bot.wiring import Application
from storage.database_errors import DatabaseAway
from storage.threads import find_thread, messages_of

FACE = "terminal"
POLL_SECONDS = 0.3


@dataclass(kw_only=True)
class Session:
    """One thread on one terminal."""

    application: Application
    face: TerminalFace
    thread: ThreadRef
    language: str
    is_live: bool
    """Whether a person looks on."""
    has_failed: bool = False
    """Whether a turn has failed."""
    _waiting: asyncio.Event | None = None
    """Set to end the wait that is under way."""
    _tasks: set[asyncio.Task[bool]] = field(default_factory=set)

    async def hold(self, lines: AsyncIterator[str]) -> int:
        """Handle every line until they end or say ``/quit``; returns the exit code.

        From a pipe it is 1 when a turn failed or a card turned bad; a person has seen all of that.
        """
        async for line in lines:
            said = line.strip()
            if said == "/quit":
                break
            if said == "/wait":
                await self.wait()
            elif said and not await self.say(said):
                self.has_failed = True
        return int(not self.is_live and (self.has_failed or self.face.has_failed))

    async def say(self, line: str) -> bool:
        """One turn, its files attached; returns whether it went well."""
        try:
            typed = parse_line(line)
        except NoFile as error:
            self.face.print(Line(text=texts(self.language)(f"terminal.{error.code}", path=error.path), style="bad"))
            return False
        try:
            return await self.application.assistant.handle(self._turn(typed))
        except DatabaseAway:
            self.face.print(Line(text=texts(self.language)("error.database"), style="bad"))
            return False

    def _turn(self, typed: Typed) -> Turn:
        form = self.face.form
        if form and typed.text.casefold() == form.submit_label.casefold():
            return self._submit(form)
        return Turn(
            event_id=str(uuid4()),
            thread=self.thread,
            text=typed.text,
            uploads=tuple(upload(path) for path in typed.paths),
            language=self.language,
        )

    def _submit(self, form: Form) -> Turn:
        """The open form as it stands: in a terminal its fields are changed by plain words."""
        answers = {entry.name: entry.value for section in form.sections for entry in section.fields}
        return Turn(
            event_id=str(uuid4()),
            thread=self.thread,
            about=form.id,
            answers=answers,
            said_as=form.submit_label,
            language=self.language,
        )

    async def wait(self) -> None:
        """Wait until nothing of this thread is under way: no run, no service, no answer, nothing to show."""
        self._waiting = asyncio.Event()
        while not self._waiting.is_set() and await self.application.is_busy(self.thread):
            self.face.draw_status(self.status())
            await asyncio.sleep(POLL_SECONDS)
        self._waiting = None
        self.face.draw_status("")

    def interrupt(self) -> None:
        """Ctrl-C while something is under way: end the wait, or the model's answer."""
        if self._waiting:
            self._waiting.set()
            return
        stop = Turn(event_id=str(uuid4()), thread=self.thread, text="/stop answer", language=self.language)
        task = asyncio.ensure_future(self.application.assistant.handle(stop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def status(self) -> str:
        """One line about what moves; empty when nothing does."""
        return short(self.face.card).text if self.face.card else ""

    async def show_past(self) -> None:
        """Print what was said in this thread before."""
        async with self.application.world.store.reading() as session:
            row = await find_thread(session, face=self.thread.face, key=self.thread.key)
            messages = await messages_of(session, row.id) if row else ()
        for message in messages:
            body = BODIES.validate_python(message.body)
            if isinstance(body, Said):
                self.face.print(Line(text=f"> {' '.join((body.text, *body.files)).strip()}", style="quiet"))
            else:
                await self.face.show(self.thread, body, message_id=message.id, shown_as=message.shown_as)
