"""How an answer is chosen from what the model finds likely: names, ranges, and the values of a person's words."""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SamplingValue = float | int


class InvalidSampling(Exception):
    """A value that cannot be: ``code`` (text ``sampling.<code>``) and what fills its sentence.

    ``unknown`` (name, names), ``not_a_number`` (name, text), ``not_whole`` (name, text),
    ``out_of_range`` (name, text, minimum, maximum), ``too_small`` (name, text, minimum).
    """

    def __init__(self, code: str, **params: str | float) -> None:
        super().__init__(f"{code} {params}")
        self.code = code
        self.params: Mapping[str, str | float] = params


@dataclass(frozen=True, kw_only=True)
class SamplingParameter:
    """One of them: its range, ends included unless said otherwise. What it means: text ``sampling.<name>.why``."""

    name: str
    minimum: float
    maximum: float | None = None
    is_whole: bool = False
    excludes_minimum: bool = False
    also_accepts: frozenset[int] = frozenset()


_ALL = (
    SamplingParameter(name="temperature", minimum=0, maximum=2),
    SamplingParameter(name="top_p", minimum=0, maximum=1, excludes_minimum=True),
    SamplingParameter(name="top_k", minimum=1, maximum=1_000_000, is_whole=True, also_accepts=frozenset({0})),
    SamplingParameter(name="max_tokens", minimum=1, is_whole=True),
    SamplingParameter(name="repetition_penalty", minimum=0, maximum=2, excludes_minimum=True),
    SamplingParameter(name="presence_penalty", minimum=-2, maximum=2),
    SamplingParameter(name="frequency_penalty", minimum=-2, maximum=2),
    SamplingParameter(name="seed", minimum=0, maximum=2**63 - 1, is_whole=True),
)

SAMPLING: Mapping[str, SamplingParameter] = MappingProxyType({parameter.name: parameter for parameter in _ALL})
"""What can be set, by name, in the order in which it is shown. A ``top_k`` of 0 switches it off."""

DEFAULT_SAMPLING: Mapping[str, SamplingValue] = MappingProxyType({"temperature": 0.2, "max_tokens": 512})
"""What a thread begins with.

A freshly tuned small model knows its new facts by a narrow margin over what it knew before: at a temperature of 0.7
or 1 it now and then draws the old answer, and looks untrained. At 0.2 the learned answer wins nearly always, and a
question asked again may still be worded another way. For a comparison take 0: it must come out alike every time.
"""


def parse_sampling(name: str, text: str) -> SamplingValue:
    """The value of ``name`` that ``text`` says ("0.2", "０．２", "50%"). Raises InvalidSampling."""
    parameter = SAMPLING.get(name)
    if parameter is None:
        raise InvalidSampling("unknown", name=name, names=", ".join(SAMPLING))
    value = _number(name, unicodedata.normalize("NFKC", text).strip())
    if parameter.is_whole and value != int(value):
        raise InvalidSampling("not_whole", name=name, text=text)
    if not _fits(parameter, value):
        raise _outside(parameter, text)
    return int(value) if parameter.is_whole else float(value)


def bounded(sampling: Mapping[str, SamplingValue], *, context_tokens: int) -> dict[str, SamplingValue]:
    """The defaults with ``sampling`` over them, the answer no longer than half of the context."""
    values = {**DEFAULT_SAMPLING, **sampling}
    values["max_tokens"] = min(int(values["max_tokens"]), max(1, context_tokens // 2))
    return values


def _number(name: str, text: str) -> float:
    percent = text.endswith("%")
    try:
        # A whole number stays one: a seed has more digits than a float keeps.
        value = float(text[:-1]) / 100 if percent else int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise InvalidSampling("not_a_number", name=name, text=text) from None
    if not math.isfinite(value):
        raise InvalidSampling("not_a_number", name=name, text=text)
    return value


def _fits(parameter: SamplingParameter, value: float) -> bool:
    if value in parameter.also_accepts:
        return True
    is_above = value > parameter.minimum if parameter.excludes_minimum else value >= parameter.minimum
    return is_above and (parameter.maximum is None or value <= parameter.maximum)


def _outside(parameter: SamplingParameter, text: str) -> InvalidSampling:
    if parameter.maximum is None:
        return InvalidSampling("too_small", name=parameter.name, text=text, minimum=parameter.minimum)
    return InvalidSampling(
        "out_of_range", name=parameter.name, text=text, minimum=parameter.minimum, maximum=parameter.maximum
    )
