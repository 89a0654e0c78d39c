"""What ``tunesmith dataset check``, ``experiment check`` and ``parameters`` print: nothing is stored or started."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from bot.dialogs.wording import finding_sentence, invalid_sentence, label, problem_sentence, sentence, shown_value
from bot.hosting import LARGEST_LORA_RANK
from bot.places import machine_of, read_places
from bot.plans import PlanFile, PlanFileError, read_plan
from bot.settings import Settings
from bot.texts import Texts
from training.checkpoints import CheckpointError, inspect_checkpoint
from training.datasets import DatasetError, DatasetReport, check, kept, measure
from training.estimate import Estimate, estimate
from training.facts import Facts
from training.findings import Finding
from training.machine import Machine, find_machine
from training.presets import InvalidPlan, Plan, make_plan
from training.rules import is_refused, review
from training.spec import PARAMETERS, Parameter
from training.tokens import ChatTokenizer, TokenizerError

MARKS = {"bad": "!", "refuse": "!", "warning": "-", "warn": "-", "note": " "}


def check_dataset(file: Path, *, as_json: bool, text: Texts) -> int:
    """Print what the check of a file found; returns 1 where rows are bad or the file is refused."""
    try:
        report = check(file, name=file.name)
    except DatasetError as error:
        return _refuse(sentence(text, f"dataset_error.{error.code}", error.params), error.code, as_json=as_json)
    if as_json:
        _print_json(report.to_json())
    else:
        _print(*_report_lines(report, text))
    return int(report.bad_rows > 0)


def _report_lines(report: DatasetReport, text: Texts) -> list[str]:
    facts = [f"{text(f'format.{report.format}')}, {text(f'use.{report.use}')}", text("check.rows", n=report.rows)]
    if report.bad_rows:
        facts.append(text("check.bad_rows", n=report.bad_rows))
    lines = [" · ".join([*facts, text.size(report.size_bytes)])]
    if report.placeholders:
        lines.append(
            text("check.placeholders", names=text.joined(["{{" + name + "}}" for name in report.placeholders]))
        )
    lines += [f"{MARKS[problem.severity]} {problem_sentence(text, problem)}" for problem in report.problems]
    rest = sum(report.problem_counts.values()) - len(report.problems)
    return [*lines, *([text("check.more_problems", n=rest)] if rest > 0 else [])]


REFUSALS = (PlanFileError, CheckpointError, TokenizerError, DatasetError, InvalidPlan)
"""Why a plan cannot be carried out, before anything is reckoned."""


def check_experiment(path: Path, *, settings: Settings, as_json: bool, text: Texts) -> int:
    """Print the whole plan of every task of a file; returns 1 where one of them cannot be started."""
    try:
        results = [check_task(task, settings) for task in read_plan(path)]
    except REFUSALS as error:
        return _refuse(*refusal(error, text), as_json=as_json)
    if as_json:
        _print_json([_as_data(*result, text=text) for result in results])
    else:
        for result in results:
            _print(*_plan_lines(*result, text=text), "")
    return int(any(is_refused(findings) for _, _, findings in results))


def refusal(error: Exception, text: Texts) -> tuple[str, str]:
    """One of REFUSALS in a sentence, and its code."""
    match error:
        case PlanFileError():
            return text(f"plan_file.{error.code}", **error.values), error.code
        case CheckpointError():
            return sentence(text, f"checkpoint.{error.code}", error.params), error.code
        case TokenizerError():
            return sentence(text, f"tokenizer_error.{error.code}", error.params), error.code
        case DatasetError():
            return sentence(text, f"dataset_error.{error.code}", error.params), error.code
        case InvalidPlan():
            return " ".join(invalid_sentence(text, problem) for problem in error.problems), "invalid_value"
    raise error


Checked = tuple[Plan, Estimate, tuple[Finding, ...]]


def check_task(task: PlanFile, settings: Settings) -> Checked:
    """The plan of a task, reckoned and reviewed. Raises one of REFUSALS."""
    checkpoint = task.checkpoint(settings.models_folder)
    report = check(task.dataset, name=task.dataset.name)
    missing = [name for name in report.placeholders if name not in task.fills]
    if missing:
        raise PlanFileError("unfilled", names=", ".join(missing))
    fills = kept(report.placeholders) | dict(task.fills)
    tokens = measure(task.dataset, report, ChatTokenizer.from_checkpoint(checkpoint), fills=fills)
    facts = Facts(model=inspect_checkpoint(checkpoint), data=tokens, machine=_machine(task, settings))
    plan = make_plan(task.preset, task.values, facts)
    return plan, estimate(plan.spec, facts), review(plan.spec, facts, max_lora_rank=LARGEST_LORA_RANK)


def _machine(task: PlanFile, settings: Settings) -> Machine:
    """The one that the task trains on. Raises PlanFileError where its place is none of those configured."""
    places = read_places(settings)
    place = task.find_place(places)
    return machine_of(place) if place else find_machine(settings.home)


def _plan_lines(plan: Plan, foreseen: Estimate, findings: tuple[Finding, ...], *, text: Texts) -> list[str]:
    values = plan.spec.model_dump()
    rows = [
        f"{label(text, name)}: {shown_value(text, name, values[name])}  ({text(f'origin.{plan.origins[name]}')})"
        for name, parameter in PARAMETERS.items()
        if parameter.applies(values)
    ]
    course = text(
        "check.estimate",
        n=foreseen.steps,
        low=text.duration(foreseen.seconds_low),
        high=text.duration(foreseen.seconds_high),
        memory=text.size(foreseen.memory_bytes),
        available=text.size(foreseen.available_bytes),
    )
    said = [f"{MARKS[finding.severity]} {finding_sentence(text, finding)}" for finding in findings]
    return [*rows, course, *said]


def _as_data(plan: Plan, foreseen: Estimate, findings: tuple[Finding, ...], *, text: Texts) -> dict[str, Any]:
    return {
        "spec": plan.spec.model_dump(mode="json"),
        "origins": plan.origins,
        "estimate": foreseen.to_json(),
        "findings": [asdict(finding) | {"message": finding_sentence(text, finding)} for finding in findings],
    }


def list_parameters(*, as_json: bool, text: Texts) -> None:
    """Print every parameter of the form, in its order."""
    if as_json:
        _print_json([_parameter_data(parameter, text) for parameter in PARAMETERS.values()])
        return
    section = None
    for parameter in PARAMETERS.values():
        if parameter.section is not section:
            section = parameter.section
            _print("", text(f"section.{section}"))
        _print(f"  {parameter.name}: {label(text, parameter.name)} ({span(parameter, text)})")


def span(parameter: Parameter, text: Texts) -> str:
    """What a parameter may be, and what it is where nothing else says so."""
    if parameter.kind == "choice":
        allowed = " | ".join(parameter.choices)
    else:
        opening = "(" if parameter.minimum_is_exclusive else "["
        closing = ")" if parameter.maximum_is_exclusive else "]"
        low = "-∞" if parameter.minimum is None else f"{parameter.minimum:g}"
        high = "∞" if parameter.maximum is None else f"{parameter.maximum:g}"
        allowed = f"{opening}{low}, {high}{closing}"
    if parameter.optional:
        allowed += f" | {text('value.none')}"
    return text("check.span", allowed=allowed, default=shown_value(text, parameter.name, parameter.default))


def _parameter_data(parameter: Parameter, text: Texts) -> dict[str, Any]:
    return asdict(parameter) | {
        "label": label(text, parameter.name),
        "why": text(f"parameter.{parameter.name}.why"),
    }


def _refuse(message: str, code: str, *, as_json: bool) -> int:
    if as_json:
        _print_json({"error": code, "message": message})
    else:
        _print(f"! {message}")
    return 1


def _print(*lines: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.out(line, highlight=False)


def _print_json(value: Any) -> None:
    _print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=_plain).decode())


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
