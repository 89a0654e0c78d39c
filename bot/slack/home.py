"""The app's home: what it is, how to begin, and what there is."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.replies import Choice, Listing
from bot.slack.blocks import named
from bot.slack.cards import items
from bot.slack.layout import Block, buttons, paragraph, title

MOST_BLOCKS = 100
MOST_ITEMS = 8
"""Of each list: the newest; the rest is a command away."""


def home_view(greeting: str, starters: Sequence[Choice], listings: Sequence[Listing]) -> dict[str, Any]:
    """The view; ``greeting`` is Markdown."""
    return {"type": "home", "blocks": list(named(list(_blocks(greeting, starters, listings))[:MOST_BLOCKS]))}


def _blocks(greeting: str, starters: Sequence[Choice], listings: Sequence[Listing]) -> Iterator[Block]:
    # A home takes no Markdown block.
    yield from paragraph(greeting)
    yield from buttons(starters, message_id="home")
    for listing in listings:
        yield {"type": "divider"}
        yield from title(listing.title)
        if not listing.items:
            yield from paragraph(listing.empty)
        yield from items(listing.items[:MOST_ITEMS], message_id="home")
