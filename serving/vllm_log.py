"""What went wrong, in vLLM's own words: the one line of its log that tells."""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_TAIL_BYTES = 200_000
_PREFIX = re.compile(r"^\(\w[^)]*\)\s*(?:(?:ERROR|WARNING|INFO) [\d-]+ [\d:]+ \[[^\]]+\] ?)?")
_ERROR = re.compile(r"^(?:[\w.]*\.)?\w*(?:Error|Exception)\b(?:: (?P<message>.+))?$")
_USAGE = re.compile(r"^\S+\.py: error: (?P<message>.+)$")
_NOT_TELLING = ("Engine core initialization failed", "See root cause above", "EngineCore encountered an issue")
_LONGEST = 300


def telling_line(log: Path) -> str | None:
    """The last error of the log that is not just the echo of another; None where there is none, or no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return None
    return telling_line_of(text)


def telling_line_of(text: str) -> str | None:
    """The same of a log's text."""
    return _telling([_PREFIX.sub("", line).rstrip() for line in text.splitlines()])


def awaited_telling_line(read: Callable[[], str], pauses_s: Iterable[float]) -> str | None:
    """The same of a log that is read again after each pause: last words may reach it after their program's end."""
    for pause_s in (0.0, *pauses_s):
        time.sleep(pause_s)
        if found := telling_line_of(read()):
            return found
    return None


def _telling(lines: list[str]) -> str | None:
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        found = _ERROR.match(line) or _USAGE.match(line)
        if not found or any(words in line for words in _NOT_TELLING):
            continue
        message = found["message"] or line
        if "validation error" in message and place + 1 < len(lines):
            # pydantic says what is wrong in the line below
            message = lines[place + 1].strip().removeprefix("Value error, ").split(" [type=")[0]
        return message[:_LONGEST]
    return None
