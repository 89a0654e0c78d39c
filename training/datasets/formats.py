"""The formats of data sets that are known, by the fields of their rows; and those that can be trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from training.datasets.columns import REQUIRED, detect_columns
from training.datasets.report import DatasetError


class Format(StrEnum):
    """How rows are written (text ``format.<value>``)."""

    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    OPENAI = "openai"
    TEXT = "text"


class Use(StrEnum):
    """What rows are for (text ``use.<value>``)."""

    SFT = "sft"
    PRETRAIN = "pretrain"
    PREFERENCE = "preference"
    KTO = "kto"
    MULTIMODAL = "multimodal"


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A format with its use."""

    format: Format
    use: Use


Fields = frozenset[str]
TRAINABLE = (Recognised(format=Format.ALPACA, use=Use.SFT),)
"""What this version trains. A further format is a module beside ``alpaca.py`` and a line here."""


def _is_alpaca(fields: Fields) -> bool:
    return set(REQUIRED) <= set(detect_columns(sorted(fields)))


CHAT_FORMATS: Mapping[str, Format] = {"conversations": Format.SHAREGPT, "messages": Format.OPENAI}

USES: Sequence[tuple[Use, Callable[[Fields], bool]]] = (
    (Use.MULTIMODAL, lambda fields: bool(fields & {"images", "videos", "audios", "image", "video", "audio"})),
    (Use.PREFERENCE, lambda fields: {"chosen", "rejected"} <= fields),
    (Use.KTO, lambda fields: bool(fields & {"kto_tag", "label"})),
    (Use.SFT, lambda fields: bool(fields & set(CHAT_FORMATS)) or _is_alpaca(fields)),
    (Use.PRETRAIN, lambda fields: "text" in fields),
)
"""In the order of asking: the marks of a rarer use come before what every row has."""


def recognise(fields: Sequence[str]) -> Recognised | None:
    """Which format has rows with these fields; None for none that we know."""
    present = frozenset(field.strip().lower() for field in fields)
    use = next((use for use, has_marks in USES if has_marks(present)), None)
    if use is None:
        return None
    chat = next((form for field, form in CHAT_FORMATS.items() if field in present), None)
    if chat is None and use is Use.PRETRAIN:
        return Recognised(format=Format.TEXT, use=use)
    if chat is None and use is not Use.PREFERENCE and not _is_alpaca(present):
        return None
    return Recognised(format=chat or Format.ALPACA, use=use)


def get_trainable(common: Sequence[str], fields: Sequence[str], given: Mapping[str, str]) -> Recognised:
    """The format of rows that have the ``common`` fields, most of them, and ``fields`` at all.

    Columns that the person gave make the rows Alpaca, whatever their fields are called.
    DatasetError: ``unknown_format``; ``format_not_trained`` for what is known and cannot be trained yet.
    """
    if set(given.values()) & set(fields):
        return TRAINABLE[0]
    found = recognise(common) or recognise(fields)
    if found is None:
        raise DatasetError("unknown_format", fields=", ".join(list(fields)[:8]))
    if found not in TRAINABLE:
        raise DatasetError("format_not_trained", format=found.format.value, use=found.use.value)
    return found
