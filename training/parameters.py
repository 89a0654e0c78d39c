"""What a parameter of the form is: kind, range, recommendation, section and condition, read from a model's fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Value = int | float | str | bool | None
"""What a parameter's value may be; None is "off" or "no limit"."""

Kind = Literal["integer", "number", "choice"]


class Section(StrEnum):
    """A part of the form, in the form's order."""

    BASICS = "basics"
    TASK = "task"
    HYPERPARAMETERS = "hyperparameters"
    LORA = "lora"
    ADVANCED = "advanced"
    OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class OnlyIf:
    """A parameter is asked for only while the parameter ``name`` has one of ``values``."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a field says about itself besides its type and range."""

    section: Section
    recommended: tuple[float, float] | None = None
    """The range that the customer's guide recommends, both ends included."""
    only_if: OnlyIf | None = None
    aliases: Mapping[str, str] | None = None
    """Other spellings of its choices, casefolded."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter, as questions, forms, plain-word edits and the docs read it."""

    name: str
    section: Section
    kind: Kind
    default: Value
    """What it is where neither the person, nor a preset, nor the facts say otherwise."""
    optional: bool
    """Whether None ("off", "no limit") is a value."""
    choices: tuple[str, ...] = ()
    aliases: Mapping[str, str]
    minimum: float | None = None
    maximum: float | None = None
    minimum_is_exclusive: bool = False
    maximum_is_exclusive: bool = False
    recommended: tuple[float, float] | None = None
    only_if: OnlyIf | None = None

    def applies(self, values: Mapping[str, Value]) -> bool:
        """Whether it matters where the parameters have these values; a missing one has no say."""
        condition = self.only_if
        return condition is None or condition.name not in values or values[condition.name] in condition.values


def parameters_of(model: type[BaseModel]) -> dict[str, Parameter]:
    """The parameters that a model's fields describe, in their order."""
    return {name: _parameter(name, field) for name, field in model.model_fields.items()}


def _parameter(name: str, field: FieldInfo) -> Parameter:
    ask = next(item for item in field.metadata if isinstance(item, Ask))
    bare, inner, optional = _unfolded(field.annotation)
    constraints = (*field.metadata, *inner)
    lower = next((item for item in constraints if isinstance(item, Ge | Gt)), None)
    upper = next((item for item in constraints if isinstance(item, Le | Lt)), None)
    return Parameter(
        name=name,
        section=ask.section,
        kind=_kind(bare),
        default=field.default,
        optional=optional,
        choices=get_args(bare) if _kind(bare) == "choice" else (),
        aliases=ask.aliases or {},
        minimum=_bound(lower.ge if isinstance(lower, Ge) else lower.gt if lower else None),
        maximum=_bound(upper.le if isinstance(upper, Le) else upper.lt if upper else None),
        minimum_is_exclusive=isinstance(lower, Gt),
        maximum_is_exclusive=isinstance(upper, Lt),
        recommended=ask.recommended,
        only_if=ask.only_if,
    )


def _unfolded(annotation: object) -> tuple[object, tuple[object, ...], bool]:
    """The bare type of ``Annotated[int, Ge(1)] | None`` and the like, its constraints, and whether None is allowed."""
    optional = False
    if get_origin(annotation) in (Union, UnionType):
        optional = True
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Annotated:
        bare, *constraints = get_args(annotation)
        return bare, tuple(constraints), optional
    return annotation, (), optional


def _kind(bare: object) -> Kind:
    if get_origin(bare) is Literal:
        return "choice"
    return "integer" if bare is int else "number"


def _bound(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
