"""Why a text is not JSON, as something that a person can mend."""

import json
import re
from dataclasses import dataclass

HUGE_DIGITS = 300


class NotANumber:
    """NaN or Infinity, which JSON does not have."""


def _whole_number(digits: str) -> int | float:
    # Python refuses whole numbers of thousands of digits; no text needs one.
    return int(digits) if len(digits) < HUGE_DIGITS else float(digits)


DECODER = json.JSONDecoder(parse_constant=lambda _: NotANumber(), parse_int=_whole_number)
"""Reads what JSON allows, and NaN as ``NotANumber`` for the check to name."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that is not JSON: text ``json_reason.<reason>``, and the character (from 1) where it shows."""

    reason: str
    position: int


_SINGLE_QUOTE = re.compile(r"\s*'")
_PYTHON_WORD = re.compile(r"\s*(None|True|False|undefined|nan|inf)\b")


def explain(error: ValueError | RecursionError, text: str) -> Broken:
    """Say what is wrong with ``text``, which ``json`` refused with ``error``."""
    if not isinstance(error, json.JSONDecodeError):
        return Broken("nested_too_deep" if isinstance(error, RecursionError) else "syntax", 1)
    return Broken(_reason(error.msg, text, error.pos), error.pos + 1)


def _reason(message: str, text: str, place: int) -> str:
    rest = text[place : place + 32]
    is_at_end = not text[place:].strip()
    if message.startswith("Unterminated string"):
        return "truncated"
    if message.startswith("Invalid control character"):
        return "line_break_in_text"
    if message.startswith("Invalid \\"):
        return "escape"
    if message.startswith("Extra data"):
        return "comma_after_row" if rest.strip() == "," else "extra"
    if is_at_end:
        return "truncated"
    if _SINGLE_QUOTE.match(rest):
        return "single_quotes"
    if _PYTHON_WORD.match(rest):
        return "python_word"
    if message.startswith("Illegal trailing comma") or (
        text[:place].rstrip().endswith(",") and rest.lstrip()[:1] in "}]"
    ):
        return "trailing_comma"
    if message.startswith("Expecting ','"):
        return "comma"
    return "syntax"
