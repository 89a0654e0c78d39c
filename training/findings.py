"""What a review says: refusals, warnings and notes as codes with parameters."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from training.estimate import Estimate
from training.facts import Facts
from training.parameters import Value
from training.spec import TrainingSpec

Severity = Literal["refuse", "warn", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to say about a plan; ``code`` names the sentence ``finding.<code>``.

    Parameters whose names end in ``_bytes``, ``_seconds`` and ``_share`` are sizes, durations and shares from 0 to 1;
    others are numbers or names as they are.
    """

    code: str
    severity: Severity
    """``refuse``: it cannot be started; ``warn``: it needs a look before the start; ``note``: it is good to know."""
    params: Mapping[str, Value] = field(default_factory=dict)
    remedy: Mapping[str, Value] | None = None
    """Edits that mend it; ``finding.<code>.remedy`` is their label, with the edits as its parameters too."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a rule looks at."""

    spec: TrainingSpec
    facts: Facts
    foreseen: Estimate
    max_lora_rank: int


Rule = Callable[[Case], Iterator[Finding]]


def refuse(code: str, remedy: Mapping[str, Value] | None = None, **params: Value) -> Finding:
    """It cannot be started like this."""
    return Finding(code=code, severity="refuse", params=params, remedy=remedy)


def warn(code: str, remedy: Mapping[str, Value] | None = None, **params: Value) -> Finding:
    """It can be started, but something would not be as expected."""
    return Finding(code=code, severity="warn", params=params, remedy=remedy)


def note(code: str, remedy: Mapping[str, Value] | None = None, **params: Value) -> Finding:
    """Good to know."""
    return Finding(code=code, severity="note", params=params, remedy=remedy)
