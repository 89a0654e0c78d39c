"""Values and codes of the packages below, as people read them."""

from collections.abc import Mapping
from typing import Any

from bot.texts import Texts
from storage.models import Model
from training.checkpoints import CheckpointFacts
from training.datasets import Problem
from training.findings import Finding
from training.places import ClusterPlace
from training.spec import PARAMETERS, InvalidValue, format_value


def _id_text(name: str, value: object) -> str | None:
    """Parameters of data set codes that are ids with a text of their own, and the id of that text."""
    return {
        "format": f"format.{value}",
        "use": f"use.{value}",
        "column": f"column.{value}",
        "reason": f"json_reason.{value}",
        "found": f"json_type.{value}",
    }.get(name)


def sentence(text: Texts, message_id: str, values: Mapping[str, Any]) -> str:
    """A sentence with the parameters of a code from below: ids become words, numbers are written out."""
    return text(message_id, **{name: _worded(text, name, value) for name, value in values.items()})


def _worded(text: Texts, name: str, value: object) -> object:
    id_text = _id_text(name, value)
    if id_text and id_text in text:
        return text(id_text)
    if name == "n" or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if name.endswith("_bytes"):
        return text.size(value)
    if name.endswith("_seconds"):
        return text.duration(value)
    if name.endswith("_share"):
        return text.percent(value)
    return text.number(value) if isinstance(value, int) else f"{value:g}"


def invalid_sentence(text: Texts, problem: InvalidValue) -> str:
    """What is wrong with a parameter's value; the parameter is named by its label."""
    values = dict(problem.params)
    values["name"] = label(text, str(values["name"]))
    return text(f"invalid_value.{problem.code}", **values)


def problem_sentence(text: Texts, problem: Problem) -> str:
    """One problem of a data set, with its line and field."""
    return sentence(text, f"problem.{problem.code}", problem.values)


def finding_sentence(text: Texts, finding: Finding) -> str:
    """One finding of a plan's review."""
    return sentence(text, f"finding.{finding.code}", finding.params)


def remedy_label(text: Texts, finding: Finding) -> str:
    """What the button of a finding's remedy says."""
    values = dict(finding.params) | {
        name: shown_value(text, name, value) for name, value in (finding.remedy or {}).items()
    }
    return sentence(text, f"finding.{finding.code}.remedy", values)


def label(text: Texts, name: str) -> str:
    """How a parameter, or another part of a plan, is called."""
    if name.startswith("fill."):
        return "{{" + name.removeprefix("fill.") + "}}"
    return text(f"parameter.{name}.label" if name in PARAMETERS else f"plan.{name}")


def shown_value(text: Texts, name: str, value: Any) -> str:
    """A parameter's value as people read it."""
    choice = f"choice.{name}.{value}"
    if choice in text:
        return text(choice)
    if value is None:
        return text("value.none")
    return format_value(name, value)


def time_span(text: Texts, low: float, high: float) -> str:
    """A range of time in one unit: "12-16 min"."""
    unit, factor, digits = ("seconds", 1, 0) if high < 90 else ("minutes", 60, 0) if high < 5400 else ("hours", 3600, 1)
    ends = [
        text.number(_tidy(max(seconds, factor / 2 if digits else factor), factor, digits)) for seconds in (low, high)
    ]
    return text(f"unit.{unit}", value="-".join(dict.fromkeys(ends)))


def _tidy(seconds: float, factor: int, digits: int) -> float:
    amount = round(seconds / factor, digits)
    return amount if digits and amount % 1 else int(amount)


def model_line(text: Texts, model: Model) -> str:
    """A base model in a line: size, context, licence."""
    facts = CheckpointFacts.from_json(model.facts)
    parts = [
        text("model.parameters", count=_millions(text, facts.parameters)),
        text("model.context", tokens=text.number(facts.context_tokens)),
        *([facts.licence] if facts.licence else []),
    ]
    return text.joined(parts)


def place_line(text: Texts, place: ClusterPlace) -> str:
    """A place in a line: namespace, GPUs and cores of a node."""
    cards = place.cards
    gpus = text("place.gpus", count=cards.per_node, name=next(iter(cards.products), "GPU")) if cards.per_node else ""
    parts = [
        text("place.namespace", name=place.namespace) if place.namespace else "",
        gpus or text("place.no_gpu"),
        text("place.cores", count=place.node_cpu),
    ]
    return text.joined([part for part in parts if part])


def _millions(text: Texts, count: int) -> str:
    if count >= 1_000_000_000:
        return f"{text.number(round(count / 1e9, 1))} B"
    return f"{text.number(round(count / 1e6) or round(count / 1e6, 2))} M"


def quoted(words: str, *, longest: int = 60) -> str:
    """What a person said, short enough to be said back."""
    line = " ".join(words.split()).replace("`", "'")
    return line if len(line) <= longest else line[: longest - 1] + "…"
