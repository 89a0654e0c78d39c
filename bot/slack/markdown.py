"""Long Markdown in pieces, none of which leaves a code block open."""

import re

_FENCE = re.compile(r"^(?P<indent> {0,12})(?P<mark>`{3,20}|~{3,20})(?P<language>[^\n`]*)$")
"""A fence may stand as deep as the list that it is in. A line of more than 20 marks is taken for no fence: nobody
writes one, and a piece must hold its fences and something between them."""
LANGUAGE_CHARACTERS = 40
LONGEST_CLOSING = 34
"""Of a fence, its indentation and the end of the line before it."""
LEAST = 200


def split(markdown: str, limit: int = 11_000) -> tuple[str, ...]:
    """The text in pieces of at most ``limit`` (200 or more) characters; one empty piece for an empty text.

    Pieces end at a paragraph where that is not far off, else at a line, else at a word. A code block that must be cut
    is closed at the end of its piece and opened again, in its language, at the beginning of the next.
    """
    limit = max(limit, LEAST)
    pieces: list[str] = []
    opening = ""
    rest = markdown
    while len(opening) + len(rest) > limit:
        cut = _cut(rest, limit - len(opening) - LONGEST_CLOSING)
        piece, rest = opening + rest[:cut], rest[cut:]
        fence = _open_fence(piece)
        pieces.append(f"{piece.rstrip()}\n{_closing(fence)}" if fence else piece.rstrip())
        opening = fence.lstrip(" ")
        rest = _outdented(rest, fence) if fence else rest.lstrip("\n")
    last = opening + rest
    if last.strip() or not pieces:
        pieces.append(last)
    return tuple(pieces)


def _cut(text: str, room: int) -> int:
    """Where a piece of at most ``room`` characters ends best."""
    for mark, least in (("\n\n", room // 2), ("\n", room // 4), (" ", room // 4)):
        at = text.rfind(mark, 0, room)
        if at > least:
            return at + len(mark)
    return room


def _open_fence(text: str) -> str:
    """The line that opened the code block in which ``text`` ends, with its newline; empty outside of one."""
    opened = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found and not opened:
            opened = f"{found['indent']}{found['mark']}{found['language'][:LANGUAGE_CHARACTERS]}\n"
        elif found and _closes(found, opened):
            opened = ""
    return opened


def _closes(found: re.Match[str], opened: str) -> bool:
    return found["mark"].startswith(_closing(opened).strip(" ")) and not found["language"].strip()


def _closing(opening: str) -> str:
    found = _FENCE.match(opening)
    return found["indent"] + found["mark"] if found else ""


def _outdented(rest: str, fence: str) -> str:
    """What follows in a code block of a list: in the next piece there is no list, so that the block stands left."""
    indent = len(_closing(fence)) - len(_closing(fence).lstrip(" "))
    if not indent:
        return rest
    lines = rest.split("\n")
    for at, line in enumerate(lines):
        lines[at] = line[min(indent, len(line) - len(line.lstrip(" "))) :]
        found = _FENCE.match(lines[at])
        if found and _closes(found, fence):
            break
    return "\n".join(lines)
