"""Read rows from a file with the line of each, a window at a time: memory stays bounded however long the file is."""

import codecs
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from training.datasets.files import FileShape
from training.datasets.json_errors import DECODER, Broken, explain
from training.datasets.report import DatasetError

CHUNK_BYTES = 1 << 18
"""After each, other threads get their turn: the server checks files in a thread of its own."""

LONGEST_ROW_BYTES = 64 << 20
"""A longer row is refused: it could not be shown, and its file is most likely no data set."""

# Patterns, not ``in``: on short rows they are three times as fast.
_ESCAPES, _BRACES = re.compile(r"\\[ubf]"), re.compile(r"\{\{")
_BYTE_ESCAPES, _BYTE_BRACES = re.compile(rb"\\[ubf]"), re.compile(rb"\{\{")


class Hash(Protocol):
    """Of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...


class Row(NamedTuple):
    """A row as it was read."""

    line: int
    """Where it begins, from 1."""
    number: int
    """From 1."""
    value: object
    """What JSON says, or ``Broken``."""
    is_plain: bool
    """ASCII without escaped characters other than line breaks and tabs: nothing of it needs a closer look."""
    has_braces: bool
    """Whether ``{{`` stands in it."""


def read_rows(path: Path, shape: FileShape, digest: Hash | None = None) -> Iterator[Row]:
    """All rows of a file; ``digest`` takes in every byte of the file on the way.

    DatasetError where the rows cannot be told apart: ``broken_json`` in a list, ``row_too_long``.
    """
    chunks = _chunks(path, shape, digest)
    yield from _line_rows(chunks) if shape.layout == "lines" else _listed_rows(chunks, shape)
    for _ in chunks:  # the digest is of the whole file
        pass


def _chunks(path: Path, shape: FileShape, digest: Hash | None) -> Iterator[bytes]:
    """The file as UTF-8, whatever it is in."""
    decoder = None if shape.encoding == "utf-8" else codecs.getincrementaldecoder(shape.encoding)("replace")
    with path.open("rb") as file:
        mark = file.read(shape.skip_bytes)
        if digest:
            digest.update(mark)
        while chunk := file.read(CHUNK_BYTES):
            if digest:
                digest.update(chunk)
            time.sleep(0)
            yield decoder.decode(chunk).encode() if decoder else chunk
    if decoder:
        yield decoder.decode(b"", final=True).encode()


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > LONGEST_ROW_BYTES:
            raise DatasetError("row_too_long", megabytes=LONGEST_ROW_BYTES >> 20)
        yield from lines
    if rest:
        yield rest


def _line_rows(chunks: Iterator[bytes]) -> Iterator[Row]:
    number = 0
    loads, escapes, braces = orjson.loads, _BYTE_ESCAPES.search, _BYTE_BRACES.search
    for line, raw in enumerate(_lines(chunks), start=1):
        try:
            value: object = loads(raw)
        except orjson.JSONDecodeError:
            if not raw.strip():
                continue
            value = _second_look(raw)
        number += 1
        yield Row(line, number, value, raw.isascii() and not escapes(raw), bool(braces(raw)))


def _second_look(raw: bytes) -> object:
    """What orjson refused: NaN and half characters are read, to be named by the check; the rest is explained."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Broken(reason="not_utf8", position=error.start + 1)
    try:
        value: object = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return explain(error, text)
    return value


def _listed_rows(chunks: Iterator[bytes], shape: FileShape) -> Iterator[Row]:
    """Rows of one list (or one after the other, in the layout ``objects``)."""
    window = _Window(chunks)
    window.skip(shape.skip_characters)
    is_list = shape.layout != "objects"
    number = 0
    while window.fill():
        sign = window.text[window.place]
        if is_list and sign == "]":
            window.skip(1)
            if shape.layout == "array" and window.fill():
                raise window.broken("after_the_list", number)
            return
        if number and sign == ",":
            window.skip(1)
            window.fill()
        elif number and is_list:
            raise window.broken("comma", number)
        number += 1
        yield window.row(number)
    if is_list:
        raise window.broken("list_not_closed", number)


class _Window:
    """The part of a text that is being read, and the line it stands at."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.text = ""
        self.place = 0
        self.line = 1
        self._before = 0  # characters of the text's first line that were read and let go
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def _more(self) -> bool:
        """Take in another chunk; False at the end of the file."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        try:
            text = self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            line = self.line + self.text.count("\n", self.place) + chunk.count(b"\n", 0, max(error.start, 0))
            raise DatasetError("not_utf8", line=line) from error
        line_start = self.text.rfind("\n", 0, self.place) + 1
        self._before = self.place - line_start + (0 if line_start else self._before)
        self.text = self.text[self.place :] + text
        self.place = 0
        return True

    def skip(self, characters: int) -> None:
        """Go on by so many characters."""
        while len(self.text) - self.place < characters and self._more():
            pass
        end = self.place + characters
        self.line += self.text.count("\n", self.place, end)
        self.place = end

    def fill(self) -> bool:
        """Go to the next character that is no white space; False where there is none."""
        while True:
            start = self.place
            length = len(self.text)
            while self.place < length and self.text[self.place] in " \t\r\n":
                self.place += 1
            self.line += self.text.count("\n", start, self.place)
            if self.place < length:
                return True
            if not self._more():
                return False

    def row(self, number: int) -> Row:
        """Read the row at this place and go behind it."""
        value, end = self._decode(number)
        row = self.text[self.place : end]
        is_plain = row.isascii() and not _ESCAPES.search(row)
        found = Row(self.line, number, value, is_plain, bool(_BRACES.search(row)))
        self.line += row.count("\n")
        self.place = end
        return found

    def _decode(self, number: int) -> tuple[object, int]:
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.place)
            except (ValueError, RecursionError) as error:
                broken = explain(error, self.text)
                is_at_end = broken.reason == "truncated" or broken.position > len(self.text) - 16
                if is_at_end and self._can_grow(number):
                    continue
                raise self.broken(broken.reason, number, broken.position - 1) from error
            # A number may go on in the next chunk; anything else has its own end.
            if end < len(self.text) or not isinstance(value, int | float) or not self._can_grow(number):
                return value, end

    def _can_grow(self, number: int) -> bool:
        if len(self.text) - self.place > LONGEST_ROW_BYTES:
            raise DatasetError("row_too_long", megabytes=LONGEST_ROW_BYTES >> 20)
        return self._more()

    def broken(self, reason: str, row: int, place: int | None = None) -> DatasetError:
        """The refusal of a file that cannot be read on, at ``place`` of the text (None: here)."""
        place = min(max(self.place, place or 0), len(self.text))
        line = self.line + self.text.count("\n", self.place, place)
        line_start = self.text.rfind("\n", 0, place) + 1
        position = place - line_start + (0 if line_start else self._before) + 1
        return DatasetError("broken_json", line=line, position=position, row=row, reason=reason)
