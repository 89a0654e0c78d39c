"""Shows replies on a terminal, or as plain lines in a pipe."""

import sys
from dataclasses import replace
from typing import ClassVar, TextIO

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text as Styled

from bot.replies import Answer, Comparison, ComparisonRow, Form, Question, Reply, Review, RunCard
from bot.terminal.rendering import Line, Style, render, short
from bot.turns import ThreadRef

STYLES: dict[Style, str] = {
    "plain": "",
    "markdown": "",
    "title": "bold",
    "quiet": "dim",
    "good": "green",
    "warning": "yellow",
    "bad": "red",
}


class TerminalFace:
    """Prints one thread: the others have terminals of their own.

    A terminal cannot change what it has printed: a replaced message is printed anew where it differs.
    A card that moves is printed when its state changes; between that, :attr:`card` is for a status line.
    """

    is_remote: ClassVar[bool] = False

    def __init__(self, thread: ThreadRef, *, is_live: bool, output: TextIO | None = None) -> None:
        """``is_live``: a person looks on; otherwise a script reads, and gets an answer when it is whole."""
        self.only_thread = thread.key
        self._is_live = is_live
        self._output = output
        self._last: dict[str, Reply] = {}
        self._printed_answer: dict[str, str] = {}
        self.form: Form | None = None
        """The form that is open: its submit label, typed, submits it as it stands."""
        self.has_failed = False
        """Whether a card has turned bad since this was last set."""
        self.card: RunCard | None = None
        """The card that moves now."""
        self._has_status = False

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        """Print what is new of a reply."""
        previous = self._last.get(message_id)
        self._last[message_id] = reply
        if isinstance(reply, Answer):
            self._answer(message_id, reply)
        elif isinstance(reply, RunCard):
            self._card(reply, previous)
        elif isinstance(reply, Comparison):
            self._comparison(reply, previous)
        elif isinstance(reply, Question) and reply.answered is not None:
            # The person has just typed it.
            pass
        elif isinstance(reply, Review) and previous is not None and not reply.choices:
            # It was closed; what the person did with it is said below.
            pass
        elif isinstance(reply, Form):
            self._form(reply, previous)
        elif previous is None or render(previous) != render(reply):
            self.print(*render(reply))
        return message_id

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Print what has grown; a comparison is printed when it is whole."""
        if isinstance(reply, Comparison):
            return
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)

    def print(self, *lines: Line) -> None:
        """Print lines, an empty one after them."""
        self.draw_status("")
        console = self._console()
        for line in lines:
            if line.style == "markdown" and self._is_live:
                console.print(Markdown(line.text))
            else:
                console.print(Styled(line.text, style=STYLES[line.style]), soft_wrap=True)
        console.print()

    def draw_status(self, text: str) -> None:
        """Write a line that the next one replaces; nothing in a pipe."""
        if not self._is_live or not (text or self._has_status):
            return
        console = self._console()
        console.file.write(f"\r\033[K{text[: console.width - 1]}")
        console.file.flush()
        self._has_status = bool(text)

    def _console(self) -> Console:
        # Made anew each time: prompt_toolkit exchanges sys.stdout while a prompt is open.
        output = self._output or sys.stdout
        return Console(
            file=output, highlight=False, force_terminal=True if self._is_live else None, no_color=not self._is_live
        )

    def _answer(self, message_id: str, answer: Answer) -> None:
        if not self._is_live:
            if answer.state != "streaming":
                self.print(*render(answer))
            return
        whole = f"{answer.author}: {answer.markdown}"
        printed = self._printed_answer.get(message_id, "")
        console = self._console()
        if not whole.startswith(printed):
            console.print()
            printed = ""
        console.out(whole.removeprefix(printed), end="", highlight=False)
        console.file.flush()
        self._printed_answer[message_id] = whole
        if answer.state != "streaming":
            console.print()
            self.print(*render(answer)[1:])

    def _card(self, card: RunCard, previous: Reply | None) -> None:
        self.card = card if card.is_live else None
        is_new = not isinstance(previous, RunCard)
        if isinstance(previous, RunCard) and _state(previous) == _state(card):
            return
        if card.tone == "bad" and not card.is_live:
            self.has_failed = True
        self.print(*(render(card) if is_new or not card.is_live else (short(card),)))

    def _comparison(self, reply: Comparison, previous: Reply | None) -> None:
        """Print each question once both have answered it."""
        if not isinstance(previous, Comparison):
            self.print(*render(replace(reply, rows=_answered(reply))))
            return
        rows = tuple(row for row in _answered(reply) if row not in previous.rows)
        # What is left without an answer when the note changes has been given up.
        is_last = reply.note != previous.note
        if is_last:
            rows = tuple(row for row in reply.rows if row not in _answered(previous))
        lines = render(replace(reply, rows=rows, note=reply.note if is_last else ""))[1:]
        if lines:
            self.print(*lines)

    def _form(self, form: Form, previous: Reply | None) -> None:
        self.form = None if form.is_submitted else form
        if not form.is_submitted and (previous is None or render(previous) != render(form)):
            self.print(*render(form))


def _answered(reply: Comparison) -> tuple[ComparisonRow, ...]:
    return tuple(row for row in reply.rows if row.base and row.tuned)


def _state(card: RunCard) -> tuple[object, ...]:
    return card.title, card.status, card.tone, card.is_live, card.note
