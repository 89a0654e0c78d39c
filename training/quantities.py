"""Amounts as Kubernetes writes them: ``500m``, ``2Gi``, ``1e3``."""

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?[0-9.]+)(?:([EPTGMk]i?|Ki|[numk])|[eE]([+-]?[0-9]+))?")
_POWERS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(text: str) -> Decimal:
    """The number that is meant. Raises ValueError where it is none."""
    found = _FORM.fullmatch(text)
    if found is None or found[1].count(".") > 1 or not re.search("[0-9]", found[1]):
        raise ValueError(f"{text!r} is no amount")
    number = Decimal(found[1])
    if found[2] in _BINARY:
        return number * Decimal(1 << _BINARY[found[2]])
    return number.scaleb(_POWERS[found[2]] if found[2] else int(found[3] or 0))
