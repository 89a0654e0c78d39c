"""The language of a text by its script alone."""

import re

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_OTHER = re.compile("[\u0370-\u1fff\u2c00-\u2dff\u3040-\u30ff\u3130-\u318f\ua000-\uabff\uac00-\ud7af]")

LOOKED_AT_CHARACTERS = 300
HAN_WEIGHT = 3
"""A Chinese character says as much as some three Latin letters."""


def language_of(text: str) -> str:
    """``zh``, ``en`` (Latin letters) or ``other`` (any other script, or no letters), by the text's beginning."""
    text = text[:LOOKED_AT_CHARACTERS]
    if text.isascii():
        return "en" if _LATIN.search(text) else "other"
    counts = {
        "zh": HAN_WEIGHT * len(_HAN.findall(text)),
        "en": len(_LATIN.findall(text)),
        "other": HAN_WEIGHT * len(_OTHER.findall(text)),
    }
    # Japanese mixes Han with its own letters: these decide.
    if counts["other"] * 4 > counts["zh"] and counts["other"] >= counts["en"]:
        return "other"
    return "zh" if counts["zh"] > counts["en"] else "en" if counts["en"] else "other"
