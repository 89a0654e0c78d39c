"""Characters that are most likely an accident: controls, broken ones, text decoded wrongly (mojibake)."""

import codecs
import re
from collections.abc import Iterator

from training.datasets.report import Params, Severity

Suspect = tuple[str, Params, Severity]

_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x80-\x9f\ufffd\ufffe\uffff\ud800-\udfff]")

# Where UTF-8 was read as Western text, every character became such a lead and what follows it.
_WESTERN = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]+[^\x00-\x7f]*")

# Where it was read as GBK, the commonest characters and marks became these.
_CHINESE = re.compile("[锛銆鐨鈥锟浣鎴][^\x00-\x7f\ufffd]{3,}")

SHOWN_CHARACTERS = 12


def look_closer(text: str) -> Iterator[Suspect]:
    """What is odd about a text, each kind once: code, params, severity."""
    odd = _ODD.search(text)
    if odd:
        yield from _odd_ones(text)
    wrong = find_mojibake(text)
    if wrong:
        seen, meant = wrong
        yield "mojibake", {"seen": seen[:SHOWN_CHARACTERS], "meant": meant[:SHOWN_CHARACTERS]}, "warning"


def _odd_ones(text: str) -> Iterator[Suspect]:
    found = {_kind(character): character for character in reversed(_ODD.findall(text))}
    for code, character in sorted(found.items()):
        severity: Severity = "bad" if code in ("half_character", "nul_character") else "warning"
        yield code, {"character": f"U+{ord(character):04X}"}, severity


def _kind(character: str) -> str:
    if character == "\0":
        return "nul_character"
    if "\ud800" <= character <= "\udfff":
        return "half_character"
    return "lost_character" if character >= "\ufffd" else "control_character"


def find_mojibake(text: str) -> tuple[str, str] | None:
    """A stretch that was UTF-8 once and was read as something else, with what it meant; None where there is none."""
    for pattern, encodings in ((_WESTERN, ("cp1252", "latin-1")), (_CHINESE, ("gb18030",))):
        for match in pattern.finditer(text):
            for encoding in encodings:
                meant = _as_utf8(match[0], encoding)
                if meant:
                    return match[0], meant
    return None


def _as_utf8(text: str, encoding: str) -> str | None:
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        return None
    # Not final: the stretch may end within a character. Reading as GBK loses a byte now and then: a few may be wrong.
    meant = codecs.getincrementaldecoder("utf-8")("replace").decode(content)
    is_right = 5 * meant.count("\ufffd") <= len(meant) if encoding == "gb18030" else "\ufffd" not in meant
    return meant if is_right and 0 < len(meant) < len(text) and not meant.isascii() else None
