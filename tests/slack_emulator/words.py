"""What a person reads in blocks, and what can be pressed there."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

READ = ("title", "header", "subtitle", "text", "label", "hint", "alt_text", "body", "description", "subtext")
"""Keys of texts, in the order in which they are seen."""
PRESSED = frozenset(
    {"button", "static_select", "overflow", "radio_buttons", "checkboxes", "feedback_buttons", "icon_button"}
)


def words_of(text: str, blocks: Sequence[Mapping[str, Any]], files: Sequence[str]) -> str:
    """The blocks' texts; the message's own only where there are no blocks. Then the names of files."""
    read = [words for block in blocks for words in _read(block)] if blocks else [html.unescape(text)]
    return "\n".join(filter(None, [*read, *files]))


def elements(blocks: Any) -> Iterator[dict[str, Any]]:
    """Everything in blocks that has an ``action_id``, with the ``block_id`` it stands in as ``_block_id``."""
    for block in blocks:
        for element in _acting(block):
            yield {**element, "_block_id": block.get("block_id", "")}


def buttons_in(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The labels of buttons, and of entries of menus."""
    return [label for element in elements(blocks) for label in labels(element)]


def labels(element: Mapping[str, Any]) -> list[str]:
    """What stands on an element that can be pressed."""
    if element["type"] == "button":
        return [plain(element.get("text"))]
    if element["type"] == "feedback_buttons":
        return [plain(element[name].get("text")) for name in ("positive_button", "negative_button")]
    return [plain(option.get("text")) for option in options(element)]


def options(element: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a menu, groups opened."""
    groups = element.get("option_groups") or ()
    return [*(element.get("options") or ()), *(option for group in groups for option in group["options"])]


def plain(text: Any) -> str:
    """The words of a text object or a string."""
    if isinstance(text, Mapping):
        return plain(text.get("text", ""))
    return html.unescape(text) if isinstance(text, str) else ""


def _acting(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, Mapping):
        if "action_id" in node and node.get("type") in PRESSED:
            yield dict(node)
            return
        for value in node.values():
            yield from _acting(value)
    elif isinstance(node, list):
        for value in node:
            yield from _acting(value)


def _read(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _read(child)
    elif isinstance(node, Mapping):
        for name in READ:
            if isinstance(node.get(name), str):
                yield html.unescape(node[name])
            elif name in node:
                yield from _read(node[name])
        for name, value in node.items():
            if name not in READ and isinstance(value, dict | list):
                yield from _read(value)
