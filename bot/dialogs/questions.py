"""The questions of a plan, each with what is recommended and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from bot.context import Context
from bot.dialogs.situation import Situation, planning_facts
from bot.dialogs.wording import model_line, place_line, time_span
from bot.facts import Uncountable, kept_literally
from bot.phrases import Control
from bot.replies import Choice, Question
from bot.texts import Texts
from storage.models import Dataset, Model
from training.checkpoints import CheckpointFacts
from training.estimate import Estimate, estimate
from training.facts import Facts
from training.places import ClusterPlace
from training.presets import Preset, make_plan, recommend_preset

ADD_MODEL = "add model"
KEEP = "keep"
LEAVE_OUT = "leave out"
ALL_PROBLEMS = "all problems"
USE_NEW = "use the new file"
KEEP_OLD = "keep the present one"
EXAMPLE = "@example"

RECOMMENDED = frozenset({"base_model", "place", "preset"})
"""Questions with a recommended answer: a skip or a start takes it."""

MOST_CHOICES = 8
"""Of data sets and models that are offered as buttons; others are named by typing."""

Builder = tuple[str, tuple[Choice, ...]]


async def build_question(context: Context, situation: Situation, step: str, key: str) -> Question:
    """The question ``step`` as it is asked now. Raises NeedsWork, Uncountable."""
    text = context.texts
    if step == "dataset":
        markdown, choices = await _dataset(context)
    elif step == "offer":
        markdown, choices = _offer(text, situation)
    elif step == "bad_rows":
        markdown, choices = _bad_rows(text, situation)
    elif step == "base_model":
        markdown, choices = _base_model(text, situation)
    elif step == "place":
        markdown, choices = _place(text, situation)
    elif step == "preset":
        markdown, choices = await _preset(context, situation)
    else:
        markdown, choices = _fill(text, situation, step.removeprefix("fill."))
    return Question(id=step, markdown=markdown, choices=choices, hints=hints(text, situation, step), key=key)


def hints(text: Texts, situation: Situation, step: str) -> tuple[Choice, ...]:
    """Back (where there is an earlier question), skip (where something is recommended), "what is this?", cancel."""
    controls = []
    if previous_step(situation, step):
        controls.append(Control.BACK)
    if step in RECOMMENDED and (step != "base_model" or situation.models):
        controls.append(Control.SKIP)
    controls += [Control.WHAT, Control.CANCEL]
    return tuple(control_choice(text, control) for control in controls)


def control_choice(text: Texts, control: Control) -> Choice:
    """The button that says ``control``."""
    return Choice(say=text(f"hint.{control}.say"), label=text(f"hint.{control}"))


def previous_step(situation: Situation, step: str) -> str | None:
    """The question before ``step``."""
    if step == "offer":
        return None
    steps = (*situation.steps(), "review")
    place = len(steps) - 1 if step in {"form", "review"} else steps.index(step) if step in steps else 0
    return steps[place - 1] if place > 0 else None


def recommended_choice(question: Question) -> Choice | None:
    """The choice that is recommended: the one that stands out."""
    return next((choice for choice in question.choices if choice.style == "primary"), None)


async def _dataset(context: Context) -> Builder:
    text = context.texts
    names = (
        await context.session.scalars(select(Dataset.name).order_by(Dataset.created_at.desc()).limit(MOST_CHOICES))
    ).all()
    known = tuple(Choice(say=name, label=name) for name in names)
    example = Choice(say=EXAMPLE, label=text("dataset.example"), detail=text("dataset.example.detail"))
    return text("ask.dataset.known" if names else "ask.dataset"), (*known, example)


def _offer(text: Texts, situation: Situation) -> Builder:
    name = situation.data.name if situation.data else ""
    return text("ask.offer", name=name), (
        Choice(say=USE_NEW, label=text("offer.use"), style="primary"),
        Choice(say=KEEP_OLD, label=text("offer.keep", name=name)),
    )


def _bad_rows(text: Texts, situation: Situation) -> Builder:
    report = situation.data.report if situation.data else None
    bad, good = (report.bad_rows, report.rows) if report else (0, 0)
    return text("ask.bad_rows", n=bad, good=text.number(good)), (
        Choice(say=LEAVE_OUT, label=text("bad_rows.leave_out", n=bad), style="primary"),
        Choice(say=ALL_PROBLEMS, label=text("bad_rows.all_problems")),
    )


def _fill(text: Texts, situation: Situation, name: str) -> Builder:
    rows = situation.data.report.placeholder_rows.get(name, 0) if situation.data else 0
    literal = kept_literally(name)
    markdown = text("ask.fill", placeholder=literal, n=rows)
    example = f"fill.{name}.example"
    if example in text:
        markdown += text(example)
    keep = Choice(say=KEEP, label=text("fill.keep", placeholder=literal), detail=text("fill.keep.detail"))
    return markdown, (keep,)


def _base_model(text: Texts, situation: Situation) -> Builder:
    add = Choice(say=ADD_MODEL, label=text("base_model.add"), detail=text("base_model.add.detail"))
    if not situation.models:
        return text("ask.base_model.none"), (add,)
    best = situation.models[0]
    reason = "used" if best.name == situation.last_used else "only" if len(situation.models) == 1 else "first"
    markdown = text("ask.base_model", name=best.name, reason=text(f"base_model_reason.{reason}"))
    offered = situation.models[:MOST_CHOICES]
    if len(situation.models) > len(offered):
        markdown += text("ask.base_model.more", n=len(situation.models) - len(offered))
    choices = tuple(_model_choice(text, situation, model, is_best=model is best) for model in offered)
    return markdown, (*choices, add)


def _model_choice(text: Texts, situation: Situation, model: Model, *, is_best: bool) -> Choice:
    detail = [model_line(text, model)]
    if not fits_roughly(situation, model):
        detail.append(text("base_model.too_large"))
    elif is_best:
        detail.append(text("recommended"))
    return Choice(say=model.name, label=model.name, detail=" · ".join(detail), style="primary" if is_best else "plain")


def _place(text: Texts, situation: Situation) -> Builder:
    best = situation.last_place or situation.places[0].name
    reason = text("place_reason.used" if situation.last_place else "place_reason.first")
    choices = tuple(_place_choice(text, place, is_best=place.name == best) for place in situation.places)
    return text("ask.place", name=best, reason=reason), choices


def _place_choice(text: Texts, place: ClusterPlace, *, is_best: bool) -> Choice:
    detail = [place_line(text, place), *([text("recommended")] if is_best else [])]
    return Choice(say=place.name, label=place.name, detail=" · ".join(detail), style="primary" if is_best else "plain")


def fits_roughly(situation: Situation, model: Model) -> bool:
    """Whether the weights alone leave room on this machine; the plan's review computes it exactly."""
    machine = situation.machine
    parameters = CheckpointFacts.from_json(model.facts).parameters
    if machine.gpus:
        return 2 * parameters < machine.gpus[0].memory_bytes
    return 4 * parameters < machine.memory_bytes


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What each preset would be, with the values that the person has set."""

    facts: Facts
    estimates: Mapping[Preset, Estimate]
    recommended: Preset
    reason: str


async def foresee(context: Context, situation: Situation) -> Foreseen:
    """Plan and estimate every preset. Raises NeedsWork, Uncountable."""
    facts = await planning_facts(context, situation)
    estimates = {}
    for preset in (Preset.QUICK, Preset.BALANCED, Preset.BEST):
        estimates[preset] = estimate(make_plan(preset, situation.draft.values, facts).spec, facts)
    recommended, reason = recommend_preset(facts)
    return Foreseen(facts=facts, estimates=estimates, recommended=recommended, reason=reason)


async def _preset(context: Context, situation: Situation) -> Builder:
    text = context.texts
    foreseen = await foresee(context, situation)
    choices = []
    for preset in Preset:
        seconds = foreseen.estimates.get(preset)
        time = [time_span(text, seconds.seconds_low, seconds.seconds_high)] if seconds else []
        is_best = preset is foreseen.recommended
        why = text("recommended") if is_best else text(f"preset.{preset}.detail")
        choices.append(
            Choice(
                say=preset.value,
                label=text(f"preset.{preset}"),
                detail=" · ".join([*time, why]),
                style="primary" if is_best else "plain",
            )
        )
    name = text(f"preset.{foreseen.recommended}")
    return text("ask.preset", name=name, reason=text(f"preset_reason.{foreseen.reason}")), tuple(choices)


__all__ = ["Foreseen", "Uncountable", "build_question", "foresee", "hints", "previous_step", "recommended_choice"]
