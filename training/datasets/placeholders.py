"""``{{name}}`` in the texts of a data set: found, and filled before anything is trained."""

import re
from collections.abc import Collection, Iterator, Mapping

# A simple name between exactly two braces; code, JSON and {{{mustaches}}} are left alone.
PLACEHOLDER = re.compile(r"(?<!\{)\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}(?!\})")


def find_placeholders(text: str) -> Iterator[str]:
    """The names that stand in a text, as often as they do."""
    return (match[1] for match in PLACEHOLDER.finditer(text))


def fill(text: str, fills: Mapping[str, str]) -> str:
    """The text with its placeholders filled, once: what is filled in is not looked at again.

    KeyError with the name of a placeholder that ``fills`` does not have.
    """
    return PLACEHOLDER.sub(lambda match: fills[match[1]], text) if "{{" in text else text


def kept(names: Collection[str]) -> dict[str, str]:
    """Fills that leave these placeholders as they are: for data that means its braces, as code does."""
    return {name: f"{{{{{name}}}}}" for name in names}
