"""Names of data sets: no Chinese characters, at most 63 characters (customer's rule)."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePath

LONGEST_NAME = 63

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FALLBACK = "dataset"


class InvalidName(Exception):
    """``code`` (text ``name_error.<code>``: empty, too_long, characters) and its parameters."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(f"{code} {params}" if params else code)
        self.code = code
        self.params = params


def parse_name(text: str) -> str:
    """A name as typed, trimmed; InvalidName says what is wrong with it."""
    name = unicodedata.normalize("NFKC", text).strip()
    if not name:
        raise InvalidName("empty")
    if len(name) > LONGEST_NAME:
        raise InvalidName("too_long", longest=LONGEST_NAME, characters=len(name))
    if not _NAME.fullmatch(name):
        raise InvalidName("characters", suggestion=suggest_name(name))
    return name


def suggest_name(file_name: str, taken: Collection[str] = ()) -> str:
    """A free name made from a file's: ``My Data (1).jsonl`` gives ``my-data-1``."""
    path = PurePath(file_name)
    stem = path.stem if path.suffix.lower() in (".json", ".jsonl") else path.name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")[:LONGEST_NAME].rstrip("-._") or FALLBACK
    name, number = base, 1
    while name in taken:
        number += 1
        ending = f"-{number}"
        name = base[: LONGEST_NAME - len(ending)] + ending
    return name
