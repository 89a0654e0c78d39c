"""Texts within Slack's limits: shortened where it can be seen, split where nothing may be lost, and harmless."""

import re
from collections.abc import Callable

_PING = re.compile(r"<(?=@[UWB][A-Z0-9]|#C[A-Z0-9]|!(?:channel|here|everyone|group|subteam|date)\b)", re.IGNORECASE)
"""What Slack would take for a call or a reference; ``<!DOCTYPE html>`` in an answer's code is none."""
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(\S.*)$", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=[^\s*])(.+?)(?<=[^\s*])\*\*")
_BULLET = re.compile(r"^( *)[-*+] +", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n|]+)\]\((https?://[^\s()|]+)\)")
_LANGUAGE = re.compile(r"\A```[^\n`]+\n")
ZERO_WIDTH = "\u200b"


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, the last one an ellipsis where something was left out."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def keep_end(text: str, limit: int) -> str:
    """At most ``limit`` characters, from the end: of a log the last lines matter."""
    return text if len(text) <= limit else f"…{text[-(limit - 1) :]}"


def escape(text: str) -> str:
    """Text for ``mrkdwn``, in which it means what it says and calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def harmless(markdown: str) -> str:
    """Markdown in which nothing calls anybody."""
    return _PING.sub(f"<{ZERO_WIDTH}", markdown)


def fenced(text: str, limit: int) -> str:
    """Text as a code block of ``mrkdwn``, at most ``limit`` characters with its fences."""
    body = escape(keep_end(text, limit)).replace("```", f"`{ZERO_WIDTH}`{ZERO_WIDTH}`")
    while len(body) > limit - 8:
        # Escapes have made it longer than the text.
        text = keep_end(text, max(1, len(text) * 9 // 10))
        body = escape(text).replace("```", f"`{ZERO_WIDTH}`{ZERO_WIDTH}`")
    return f"```\n{body or ' '}\n```"


def escaped(text: str, limit: int) -> str:
    """Text for ``mrkdwn``, at most ``limit`` characters once it is escaped."""
    return _fitted(text, limit, escape)


def marked(markdown: str, limit: int) -> str:
    """Markdown as the ``mrkdwn`` of the blocks that know no other, at most ``limit`` characters.

    Bold, headings, bullets, links and code; the rest stays as it was typed.
    """
    # Marking may shorten a text, but never by half.
    return _fitted(shorten(markdown, 2 * limit), limit, _marked)


def _fitted(text: str, limit: int, write: Callable[[str], str]) -> str:
    found = write(text)
    while len(found) > limit:
        text = shorten(text, max(1, min(len(text) - 1, len(text) * limit // len(found))))
        found = write(text)
    return found


def _marked(markdown: str) -> str:
    pieces = _CODE.split(escape(markdown))
    pieces[::2] = map(_styled, pieces[::2])
    pieces[1::2] = [_LANGUAGE.sub("```\n", piece) for piece in pieces[1::2]]
    return "".join(pieces)


def _styled(text: str) -> str:
    text = _BULLET.sub(r"\1• ", text)
    text = _HEADING.sub(lambda found: f"*{found[1].replace('*', '').strip()}*", text)
    return _LINK.sub(r"<\2|\1>", _BOLD.sub(r"*\1*", text))
