"""Names that people see and type: what may be one, how one is made of a file's name, and which is still free."""

import re
import unicodedata
from collections.abc import Container
from pathlib import PurePosixPath

LONGEST = 63

_EXPERIMENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_experiment_name(name: str) -> bool:
    """Lower-case letters, digits and ``-``; begins and ends with a letter or digit; at most 63."""
    return _EXPERIMENT.fullmatch(name) is not None


def bare_file_name(name: str) -> str:
    """A file's name without any folder or control character, at most 200 characters, for showing and keeping."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(character for character in last if character.isprintable()).strip()[:200]


def suggested_name(text: str) -> str | None:
    """An experiment's name made of any text: lower case, ``-`` for what is not allowed; None where nothing is left."""
    ascii_stem = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    cleaned = re.sub(r"[^a-z0-9]+", "-", ascii_stem).strip("-")[:LONGEST].strip("-")
    return cleaned or None


def numbered(base: str, taken: Container[str], *, first: int = 1) -> str:
    """``base-1``, or the first such name that is not taken."""
    number = first
    while True:
        ending = f"-{number}"
        name = base[: LONGEST - len(ending)].rstrip("-._") + ending
        if name not in taken:
            return name
        number += 1
