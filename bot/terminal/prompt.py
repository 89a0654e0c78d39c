"""Where lines come from: a prompt with history and completion, or a pipe."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.patch_stdout import patch_stdout

from bot.commands import COMMANDS
from bot.texts import Texts

OWN_COMMANDS = ("wait", "quit")
"""Of the terminal alone; their texts are ``terminal.<name>``."""


async def piped_lines() -> AsyncIterator[str]:
    """The lines of stdin."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


async def prompted_lines(*, history: Path, texts: Texts, status: Callable[[], str]) -> AsyncIterator[str]:
    """Lines as they are typed; ``status`` gives the line below the prompt. Ctrl-D ends them, Ctrl-C empties one."""
    session: PromptSession[str] = PromptSession(
        history=_private(history),
        completer=LineCompleter(texts),
        complete_while_typing=True,
        bottom_toolbar=lambda: status() or None,
        refresh_interval=1.0,
        reserve_space_for_menu=4,
    )
    while True:
        try:
            with patch_stdout(raw=True):
                line = await session.prompt_async("> ", handle_sigint=False)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        yield line


def _private(path: Path) -> FileHistory:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return FileHistory(str(path))


class LineCompleter(Completer):
    """Completes commands at the beginning of a line, and paths behind ``@``."""

    def __init__(self, texts: Texts) -> None:
        self._commands = {f"/{command.name}": texts(f"command.{command.name}") for command in COMMANDS}
        self._commands |= {f"/{name}": texts(f"terminal.{name}") for name in OWN_COMMANDS}
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What could stand here."""
        before = document.text_before_cursor
        if before.startswith("/") and " " not in before:
            for name, meaning in self._commands.items():
                if name.startswith(before):
                    yield Completion(name, start_position=-len(before), display_meta=meaning)
        _, at, path = before.rpartition("@")
        if at and " " not in path:
            yield from self._paths.get_completions(Document(path), complete_event)
