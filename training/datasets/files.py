"""What kind of file this is: encoding, and how its rows lie in it. Anything that is not JSON is refused by name."""

import codecs
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from charset_normalizer import from_bytes

from training.datasets.report import DatasetError, Note

Layout = Literal["lines", "array", "wrapped", "objects"]

HEAD_BYTES = 1 << 20
"""How much of a file is looked at to tell what it is."""

EXTENSIONS = (".json", ".jsonl")

MAGIC = (
    (b"PK\x03\x04", "is_archive"),
    (b"\x1f\x8b", "is_archive"),
    (b"BZh", "is_archive"),
    (b"\xfd7zXZ", "is_archive"),
    (b"\x28\xb5\x2f\xfd", "is_archive"),
    (b"7z\xbc\xaf\x27\x1c", "is_archive"),
    (b"Rar!", "is_archive"),
    (b"PAR1", "is_parquet"),
    (b"ARROW1", "is_parquet"),
    (b"\xd0\xcf\x11\xe0", "is_spreadsheet"),
    (b"%PDF", "is_document"),
    (b"\x89PNG", "is_picture"),
    (b"\xff\xd8\xff", "is_picture"),
    (b"GIF8", "is_picture"),
    (b"SQLite format 3", "is_binary"),
    (b"GGUF", "is_model"),
)
"""How foreign files begin, and the code of their refusal."""

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

GUESSED = ("gb18030", "big5", "utf_16_le", "utf_16_be", "shift_jis", "euc_kr", "cp1252")
READ_AS = {"gb18030": "gb18030", "utf_16_le": "utf-16-le", "utf_16_be": "utf-16-be", "big5": "big5"}
"""Encodings that are read without a byte order mark; other guesses are too uncertain."""

ROW_FIELDS = {"history", "conversations", "messages", "tools", "images", "videos", "audios", "chosen", "rejected"}
"""Fields of a row that hold lists: a file that begins with one of them is a row, not a wrapper around the rows."""

_WRAPPER = re.compile(r'\s*\{\s*"([^"\\]+)"\s*:\s*\[(?=\s*[\{\]])')


@dataclass(frozen=True, kw_only=True)
class FileShape:
    """How to read a file's rows."""

    encoding: str
    skip_bytes: int
    """The byte order mark."""
    layout: Layout
    """``lines``: one row a line. ``array``: one JSON list. ``wrapped``: a list inside an object. ``objects``: rows
    that stretch over several lines, one after the other."""
    skip_characters: int
    """Up to and with the bracket that opens the list."""
    notes: tuple[Note, ...]


def look_at(path: Path, name: str) -> FileShape:
    """Tell how to read ``path``, uploaded as ``name``; DatasetError where it is no JSON or no file for us."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    _refuse_foreign(head)
    encoding, skip_bytes = _encoding(head)
    text = head[skip_bytes:].decode(encoding, "replace")
    extension = PurePath(name).suffix.lower()
    _refuse_other_text(text, extension)
    if extension not in EXTENSIONS:
        raise DatasetError("file_type", name=name)
    layout, skip_characters, notes = _layout(text, len(head) == HEAD_BYTES)
    if encoding != "utf-8":
        notes += (Note(code="encoding", params={"encoding": encoding.upper()}),)
    if layout == "lines" and extension == ".json" and "\n" in text.strip():
        notes += (Note(code="lines_in_json"),)
    if layout == "array" and extension == ".jsonl":
        notes += (Note(code="array_in_jsonl"),)
    return FileShape(
        encoding=encoding, skip_bytes=skip_bytes, layout=layout, skip_characters=skip_characters, notes=notes
    )


def _refuse_foreign(head: bytes) -> None:
    if not head:
        raise DatasetError("empty_file")
    for magic, code in MAGIC:
        if head.startswith(magic):
            inside = b"xl/" in head or b"[Content_Types].xml" in head
            raise DatasetError("is_spreadsheet" if code == "is_archive" and inside else code)


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding and the length of its mark. A few broken lines do not make a UTF-8 file another one."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    if b"\0" not in head[:4096] and _is_mostly_utf8(head):
        return "utf-8", 0
    best = from_bytes(head[: 1 << 16], cp_isolation=list(GUESSED)).best()
    guess = best.encoding if best else None
    if guess in READ_AS:
        return READ_AS[guess], 0
    if b"\0" in head[:4096]:
        raise DatasetError("is_binary")
    raise DatasetError("unknown_encoding", guess=guess or "?")


def _is_mostly_utf8(head: bytes) -> bool:
    foreign = [line for line in head.split(b"\n")[:10_000] if not line.isascii()]
    return 2 * sum(_is_utf8(line) for line in foreign) >= len(foreign)


def _is_utf8(line: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_other_text(text: str, extension: str) -> None:
    stripped = text.lstrip()
    if not stripped:
        raise DatasetError("empty_file")
    if stripped.startswith("<"):
        raise DatasetError("is_web_page")
    if stripped[0] in "[{":
        return
    lines = stripped.split("\n")[:20]
    if any(line.lstrip().startswith("{") for line in lines):
        return
    separators = [line.count("\t" if extension == ".tsv" else ",") for line in lines[:2]]
    if extension in (".csv", ".tsv") or (separators[0] and separators[0] <= separators[-1]):
        raise DatasetError("is_table")
    raise DatasetError("is_text")


def _layout(text: str, is_cut: bool) -> tuple[Layout, int, tuple[Note, ...]]:
    start = len(text) - len(text.lstrip())
    if text[start] == "[":
        return "array", start + 1, ()
    first, _, rest = text[start:].partition("\n")
    is_whole_line = _is_json(first)
    wrapper = _WRAPPER.match(text)
    if wrapper and wrapper[1] not in ROW_FIELDS and not (is_whole_line and rest.strip()):
        return "wrapped", wrapper.end(), (Note(code="wrapped_rows", params={"field": wrapper[1]}),)
    if not is_whole_line and rest and text[start] == "{" and _begins_with_object(text[start:], is_cut):
        return "objects", start, (Note(code="objects_over_lines"),)
    return "lines", 0, ()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_with_object(text: str, is_cut: bool) -> bool:
    """Whether one object stretches over the first lines. In a cut head it may not end: its second line then decides."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return is_cut and text.count("\n") < 3 and not text.partition("\n")[2].lstrip().startswith("{")
    return "\n" in text[:end]
