"""`tunesmith chat`: the whole application under one terminal."""

import asyncio
import signal
import sys
from uuid import uuid4

from bot.settings import Settings
from bot.terminal.face import TerminalFace
from bot.terminal.prompt import piped_lines, prompted_lines
from bot.terminal.rendering import Line
from bot.terminal.session import FACE, Session
from bot.texts import texts
from bot.turns import ThreadRef
from bot.wiring import build


async def chat(settings: Settings, *, thread: str | None, language: str) -> int:
    """Talk on stdin and stdout until the lines end; returns the exit code.

    Every call is a thread of its own, unless ``thread`` names one. The loops run here only while no server does.
    """
    is_live = sys.stdin.isatty() and sys.stdout.isatty()
    async with build(settings) as application:
        ref = ThreadRef(face=FACE, key=thread or str(uuid4()))
        face = TerminalFace(ref, is_live=is_live)
        application.faces[FACE] = face
        session = Session(
            application=application,
            face=face,
            thread=ref,
            language=language,
            is_live=is_live,
        )
        async with application.running():
            if not is_live:
                return await session.hold(piped_lines())
            return await _live(session, settings)


async def _live(session: Session, settings: Settings) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, session.interrupt)
    await session.show_past()
    said = texts(session.language)
    session.face.print(Line(text=said("terminal.welcome"), style="quiet"))
    code = await session.hold(prompted_lines(history=settings.history_path, texts=said, status=session.status))
    session.face.print(Line(text=said("terminal.goodbye", thread=session.thread.key), style="quiet"))
    return code
