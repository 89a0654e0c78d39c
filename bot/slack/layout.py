"""The blocks that replies are made of, each within Slack's limits whatever comes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bot.replies import Choice, Tone
from bot.slack.fitting import escaped, fenced, harmless, marked, shorten
from bot.slack.markdown import split
from bot.slack.pressing import button

Block = dict[str, Any]

SECTION_CHARACTERS = 3000
FIELD_CHARACTERS = 2000
HEADER_CHARACTERS = 150
CONTEXT_ELEMENTS = 10
FIELDS = 10
BUTTONS_IN_A_ROW = 5
CODE_CHARACTERS = 2900

MARKS: dict[Tone, str] = {"plain": "", "good": "✅ ", "warning": "⚠️ ", "bad": "🛑 "}


def markdown(text: str) -> Iterator[Block]:
    """Markdown of any length."""
    for piece in split(harmless(text)):
        if piece.strip():
            yield {"type": "markdown", "text": piece}


def title(text: str) -> Iterator[Block]:
    """A heading."""
    if text.strip():
        yield {
            "type": "header",
            "text": {"type": "plain_text", "text": shorten(text, HEADER_CHARACTERS), "emoji": False},
        }


def section(text: str) -> Iterator[Block]:
    """A paragraph that is already ``mrkdwn`` (and short enough)."""
    if text.strip():
        yield {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def paragraph(text: str) -> Iterator[Block]:
    """A paragraph of ours, in which ``**bold**`` and ``code`` may stand."""
    yield from section(marked(text, SECTION_CHARACTERS))


def lines(texts: Iterable[str], *, mark: str = "") -> Iterator[Block]:
    """Lines below one another, in as many paragraphs as they need."""
    gathered: list[str] = []
    for text in texts:
        line = mark + marked(text, SECTION_CHARACTERS - len(mark))
        if gathered and sum(map(len, gathered)) + len(gathered) + len(line) > SECTION_CHARACTERS:
            yield from section("\n".join(gathered))
            gathered = []
        gathered.append(line)
    yield from section("\n".join(gathered))


def fields(pairs: Sequence[tuple[str, str]]) -> Iterator[Block]:
    """Pairs of ``mrkdwn`` (bold label or value, the rest), two columns wide."""
    texts = [f"*{first}*\n{second}" for first, second in pairs]
    for begin in range(0, len(texts), FIELDS):
        some = [{"type": "mrkdwn", "text": text} for text in texts[begin : begin + FIELDS]]
        yield {"type": "section", "fields": some}


def bold(text: str, limit: int = 500) -> str:
    """Plain words that will stand between asterisks: one line, without asterisks of their own."""
    return escaped(" ".join(text.split()).replace("*", "∗"), limit) or "…"


def quiet(texts: Iterable[str]) -> Iterator[Block]:
    """Small grey lines."""
    given = [marked(text, FIELD_CHARACTERS) for text in texts if text.strip()]
    for begin in range(0, len(given), CONTEXT_ELEMENTS):
        elements = [{"type": "mrkdwn", "text": text} for text in given[begin : begin + CONTEXT_ELEMENTS]]
        yield {"type": "context", "elements": elements}


def code(text: str) -> Iterator[Block]:
    """Text in a fixed-width face; of a long one the end."""
    yield from section(fenced(text, CODE_CHARACTERS))


def buttons(choices: Sequence[Choice], *, message_id: str, about: str | None = None) -> Iterator[Block]:
    """Buttons, five in a row. Places are given when the message is whole."""
    for begin in range(0, len(choices), BUTTONS_IN_A_ROW):
        row = choices[begin : begin + BUTTONS_IN_A_ROW]
        yield {
            "type": "actions",
            "elements": [button(choice, message_id=message_id, about=about, place="") for choice in row],
        }


def picture(file: str, words: str) -> Block:
    """A picture that Slack holds; ``words`` for those who do not see it."""
    return {"type": "image", "slack_file": {"id": file}, "alt_text": shorten(words, FIELD_CHARACTERS) or "…"}
