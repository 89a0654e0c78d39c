"""Replies as messages of Slack. Pure: a reply comes in, blocks go out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.replies import Reply
from bot.slack.cards import draw_reply
from bot.slack.layout import Block
from bot.slack.words_of import words_of

MOST_BLOCKS = 50
MOST_MARKDOWN = 12_000
"""Characters of all Markdown blocks of a message together."""
MOST_WORDS = 3000


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One message of Slack."""

    text: str
    """What notifications and screen readers get."""
    blocks: tuple[dict[str, Any], ...]


def render(reply: Reply, *, message_id: str, chart: str | None = None) -> tuple[Rendered, ...]:
    """The messages that show a reply, mostly one. ``chart``: Slack's file of a run's curves."""
    words = words_of(reply, MOST_WORDS) or "…"
    drawn = list(draw_reply(reply, message_id=message_id, chart=chart)) or [_nothing()]
    return tuple(Rendered(text=words, blocks=named(blocks)) for blocks in packed(drawn))


def packed(blocks: Iterable[Block]) -> Iterable[Sequence[Block]]:
    """As few messages as hold all of the blocks."""
    message: list[Block] = []
    characters = 0
    for block in blocks:
        more = len(block["text"]) if block["type"] == "markdown" else 0
        if message and (len(message) == MOST_BLOCKS or characters + more > MOST_MARKDOWN):
            yield message
            message, characters = [], 0
        message.append(block)
        characters += more
    yield message


def named(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks with ids that are unique in their message, and so are those of their buttons."""
    return tuple(_named(block, place) for place, block in enumerate(blocks))


def _named(block: Block, place: int) -> Block:
    made = {"block_id": f"b{place}", **block}
    if block["type"] == "actions":
        made["elements"] = [
            {**element, "action_id": _placed(element["action_id"], f"{place}-{number}")}
            for number, element in enumerate(block["elements"])
        ]
    elif "accessory" in block:
        accessory = block["accessory"]
        made["accessory"] = {**accessory, "action_id": _placed(accessory["action_id"], str(place))}
    return made


def _placed(action_id: str, place: str) -> str:
    """``say:`` and ``pick::about`` get their place; other elements are alone in their message."""
    kind, colon, rest = action_id.partition(":")
    if not colon:
        return action_id
    _, more, about = rest.partition(":")
    return f"{kind}:{place}{more}{about}"


def _nothing() -> Block:
    return {"type": "context", "elements": [{"type": "plain_text", "text": "…", "emoji": False}]}
