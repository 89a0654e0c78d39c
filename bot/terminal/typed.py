"""What was typed: a line, with the files that ``@path`` attaches taken out of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bot.turns import Upload

CHUNK_BYTES = 1 << 20

ATTACHED = re.compile(
    r"""(?<!\S)@(?: "(?P<double>[^"]+)" | '(?P<single>[^']+)' | (?P<bare>(?:\\.|[^\s\\"'])+) )(?!\S)""", re.VERBOSE
)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """One line: its words, and its files."""

    text: str
    paths: tuple[Path, ...] = ()


class NoFile(Exception):
    """What stands behind an ``@`` is no file that can be read; ``code`` says why."""

    def __init__(self, code: str, path: Path) -> None:
        super().__init__(code, path)
        self.code = code
        self.path = path


def parse_line(line: str) -> Typed:
    """Take the attached files out of a line. Raises NoFile.

    ``@"with spaces.json"``, ``@with\\ spaces.json`` and ``@~/x.json`` are files; ``@word`` is one only where such a
    file exists: otherwise it is a word.
    """
    paths: list[Path] = []

    def take(match: re.Match[str]) -> str:
        bare = match["bare"]
        name = re.sub(r"\\(.)", r"\1", bare) if bare else match["double"] or match["single"]
        path = Path(name).expanduser()
        if bare and not path.exists() and "/" not in bare and "." not in bare:
            return match[0]
        paths.append(_readable(path))
        return ""

    text = ATTACHED.sub(take, line)
    return Typed(text=re.sub(r"[ \t]{2,}", " ", text).strip() if paths else line.strip(), paths=tuple(paths))


def upload(path: Path) -> Upload:
    """A file of this disk as an upload, read piece by piece."""

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    return Upload(name=path.name, size_bytes=path.stat().st_size, chunks=chunks())


def _readable(path: Path) -> Path:
    if path.is_dir():
        raise NoFile("is_folder", path)
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise NoFile("is_missing", path) from None
    except OSError:
        raise NoFile("is_unreadable", path) from None
    return path
