"""Words to values and back: "1e-4", "10%", "无", "etqq", full-width digits."""

import math
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from rapidfuzz import process

from training.parameters import Parameter, Value

OFF = frozenset(
    {
        "none",
        "off",
        "no",
        "null",
        "unlimited",
        "disabled",
        "无",
        "关",
        "关闭",
        "不限",
        "不限制",
        "不用",
        "不使用",
        "没有",
    }
)
"""Words for None, and for a choice called ``none``."""

_UNITS = (
    *("tokens", "token", "steps", "step", "epochs", "epoch", "rows", "row", "samples", "cores", "core", "gpus", "gpu"),
    *("gib", "gb", "步", "轮", "条", "核", "张", "个", "次"),
)
_TIDY = str.maketrans({"−": "-", "–": "-", "—": "-", "_": "", ",": "", " ": ""})


class InvalidValue(ValueError):
    """A value that a parameter cannot take.

    ``code`` names the sentence ``invalid_value.<code>``; ``params`` always hold the parameter's ``name`` and the
    ``text`` that was given.
    """

    def __init__(self, code: str, params: Mapping[str, Value]) -> None:
        super().__init__(f"{code}: {dict(params)}")
        self.code = code
        self.params = params


def parse(parameter: Parameter, text: str) -> Value:
    """The value that ``text`` means for ``parameter``.

    Takes scientific notation, thousands' separators, a trailing unit, percent for numbers that are not whole by
    nature, full-width characters, known aliases and, where it is allowed, the words for "off". Raises InvalidValue.
    """
    tidy = unicodedata.normalize("NFKC", text).strip().strip("\"'`“”‘’").rstrip("。.").casefold()
    if parameter.optional and tidy in OFF:
        return None
    if parameter.kind == "choice":
        return _choice(parameter, tidy, text)
    number = _number(parameter, tidy, text)
    if parameter.kind == "number":
        return _in_range(parameter, float(number), text)
    if number != number.to_integral_value():
        raise _invalid("not_whole", parameter, text)
    return _in_range(parameter, int(number), text)


def check(parameter: Parameter, value: Value) -> Value:
    """``value``, which came as data, as the parameter's own type; raises InvalidValue."""
    if value is None:
        if parameter.optional:
            return None
        raise _invalid("missing", parameter, "none")
    if isinstance(value, bool):
        raise _invalid("not_a_number" if parameter.kind != "choice" else "unknown_choice", parameter, str(value))
    return parse(parameter, value if isinstance(value, str) else repr(value))


def format_as(parameter: Parameter, value: Value) -> str:
    """A value as ``parse`` reads it back."""
    if value is None:
        return "none"
    if parameter.kind != "number" or isinstance(value, str):
        return str(value)
    exact = Decimal(repr(float(value))).normalize()
    if exact != 0 and abs(exact) < Decimal("0.01"):
        return f"{exact:e}"
    return f"{exact:f}"


def _choice(parameter: Parameter, tidy: str, text: str) -> str:
    if "none" in parameter.choices and tidy in OFF:
        return "none"
    known = {choice: choice for choice in parameter.choices} | dict(parameter.aliases)
    for spelling in (tidy, tidy.replace("-", "_").replace(" ", "_"), tidy.replace(" ", "")):
        if spelling in known:
            return known[spelling]
    near = process.extractOne(tidy, list(known), score_cutoff=75)
    if near is None:
        raise _invalid("unknown_choice", parameter, text, choices=", ".join(parameter.choices))
    raise _invalid("unknown_choice_near", parameter, text, choices=", ".join(parameter.choices), nearest=known[near[0]])


def _number(parameter: Parameter, tidy: str, text: str) -> Decimal:
    bare = tidy.translate(_TIDY)
    for unit in _UNITS:
        bare = bare.removesuffix(unit)
    is_share = bare.endswith("%")
    if is_share and parameter.kind == "integer":
        raise _invalid("no_share", parameter, text)
    try:
        number = Decimal(bare.removesuffix("%"))
    except InvalidOperation:
        raise _invalid("not_a_number", parameter, text) from None
    if not number.is_finite() or number.adjusted() > 300 or math.isinf(float(number)):
        raise _invalid("not_a_number", parameter, text)
    return number / 100 if is_share else number


def _in_range(parameter: Parameter, number: float, text: str) -> float:
    low, high = parameter.minimum, parameter.maximum
    if low is not None and (number < low or (parameter.minimum_is_exclusive and number == low)):
        code = "not_above" if parameter.minimum_is_exclusive else "too_small"
        raise _invalid(code, parameter, text, minimum=format_bound(low))
    if high is not None and (number > high or (parameter.maximum_is_exclusive and number == high)):
        code = "not_below" if parameter.maximum_is_exclusive else "too_large"
        raise _invalid(code, parameter, text, maximum=format_bound(high))
    return number


def format_bound(bound: float) -> str:
    """An end of a range: ``1``, ``0.5``, ``1e-5``."""
    return f"{bound:g}" if abs(bound) < 1e6 and bound != int(bound) else str(int(bound))


def _invalid(code: str, parameter: Parameter, text: str, **more: Value) -> InvalidValue:
    return InvalidValue(code, {"name": parameter.name, "text": text.strip(), **more})
