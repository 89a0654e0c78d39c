"""The whole plan on one card: every value with where it comes from, the estimate, and what to know before the start."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.context import Context
from bot.dialogs.questions import control_choice
from bot.dialogs.situation import Situation, counted, planning_facts, taken_names, used_fills
from bot.dialogs.wording import finding_sentence, label, remedy_label, shown_value, time_span
from bot.facts import kept_literally
from bot.hosting import LARGEST_LORA_RANK
from bot.names import numbered, suggested_name
from bot.phrases import Control
from bot.replies import Caution, Choice, Review, ReviewRow, ReviewSection, Tone
from bot.texts import Texts
from training.estimate import Estimate, estimate
from training.facts import Facts
from training.findings import Finding
from training.presets import Origin, Plan, Preset, make_plan
from training.rules import is_refused, review
from training.spec import PARAMETERS, Section, format_value

ALWAYS_SHOWN = ("method", "learning_rate", "epochs", "batch_size", "cutoff_length", "lora_rank")
"""Parameters that stand in the open part; the others are folded, by section."""

TONES: dict[str, Tone] = {"refuse": "bad", "warn": "warning", "note": "plain"}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A plan that is ready to be looked at."""

    plan: Plan
    facts: Facts
    findings: tuple[Finding, ...]
    estimate: Estimate
    questions: tuple[str, ...]
    """For the comparison at the end."""
    experiment: str
    """The person's name for it, or a suggested one that is free."""

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be started as it is."""
        return is_refused(self.findings)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Why it cannot be started."""
        return tuple(finding for finding in self.findings if finding.severity == "refuse")


async def propose(context: Context, situation: Situation) -> Proposal:
    """Make the plan of a draft whose questions are all answered. Raises NeedsWork, Uncountable, InvalidPlan."""
    facts = await planning_facts(context, situation)
    plan = make_plan(Preset(situation.draft.preset or Preset.BALANCED), situation.draft.values, facts)
    return Proposal(
        plan=plan,
        facts=facts,
        findings=review(plan.spec, facts, max_lora_rank=LARGEST_LORA_RANK),
        estimate=estimate(plan.spec, facts),
        questions=(await counted(context, situation)).questions,
        experiment=situation.draft.experiment or await suggested_experiment(context, situation),
    )


async def suggested_experiment(context: Context, situation: Situation) -> str:
    """A free name made of the data set's."""
    base = suggested_name(situation.data.name if situation.data else "") or "experiment"
    return numbered(base, await taken_names(context.session))


def review_card(text: Texts, situation: Situation, proposal: Proposal, *, key: str, is_open: bool = True) -> Review:
    """The plan as a card; one that is closed has no buttons."""
    foreseen = proposal.estimate
    subtitle = text(
        "review.estimate.elsewhere" if situation.machine.is_cluster else "review.estimate",
        time=time_span(text, foreseen.seconds_low, foreseen.seconds_high),
        memory=text.size(foreseen.memory_bytes),
        available=text.size(foreseen.available_bytes),
    )
    return Review(
        title=text("review.title", name=proposal.experiment),
        subtitle=subtitle,
        sections=_sections(text, situation, proposal),
        warnings=tuple(caution(text, finding, is_open=is_open) for finding in proposal.findings),
        choices=_choices(text, proposal) if is_open else (),
        key=key,
    )


def _choices(text: Texts, proposal: Proposal) -> tuple[Choice, ...]:
    start = Choice(say=text("hint.start.say"), label=text("hint.start"), style="primary")
    change = control_choice(text, Control.CHANGE)
    cancel = control_choice(text, Control.CANCEL)
    return (change, cancel) if proposal.is_refused else (start, change, cancel)


def caution(text: Texts, finding: Finding, *, is_open: bool = True) -> Caution:
    """A finding with its remedy as a button, which says the edits that mend it."""
    remedy = None
    if finding.remedy and is_open:
        say = ", ".join(f"{name}={format_value(name, value)}" for name, value in finding.remedy.items())
        remedy = Choice(say=say, label=remedy_label(text, finding))
    return Caution(text=finding_sentence(text, finding), tone=TONES[finding.severity], remedy=remedy)


def _sections(text: Texts, situation: Situation, proposal: Proposal) -> tuple[ReviewSection, ...]:
    spec = proposal.plan.spec
    given = spec.model_dump()
    names = [name for name, parameter in PARAMETERS.items() if parameter.applies(given)]
    shown = [name for name in ALWAYS_SHOWN if name in names]
    yours = [name for name in names if proposal.plan.origins[name] is Origin.YOU and name not in shown]
    opened = [*_basics(text, situation), *(_row(text, proposal, name) for name in (*shown, *yours))]
    sections = [ReviewSection(title=text("review.section.plan"), rows=tuple(opened))]
    for section in Section:
        rest = [name for name in names if PARAMETERS[name].section is section and name not in {*shown, *yours}]
        if rest:
            rows = tuple(_row(text, proposal, name) for name in rest)
            sections.append(ReviewSection(title=text(f"section.{section}"), rows=rows, is_folded=True))
    after = ReviewSection(title=text("review.section.after"), rows=tuple(_after(text, situation, proposal)))
    return (*sections, after)


def _basics(text: Texts, situation: Situation) -> list[ReviewRow]:
    """Data set, fills, base model and preset: what the questions asked for."""
    rows = []
    you = text("origin.you")
    if situation.data:
        report = situation.data.report
        value = text("review.data", name=situation.data.name, n=report.rows)
        if report.bad_rows:
            value += text("review.left_out", n=report.bad_rows)
        rows.append(ReviewRow(name="dataset", label=text("plan.dataset"), value=value, origin=you))
    for name, fill in used_fills(situation).items():
        shown = text("fill.kept") if fill == kept_literally(name) else fill
        rows.append(ReviewRow(name=f"fill.{name}", label=kept_literally(name), value=shown, origin=you))
    if situation.model:
        rows.append(ReviewRow(name="base_model", label=text("plan.base_model"), value=situation.model.name, origin=you))
    if situation.place:
        rows.append(ReviewRow(name="place", label=text("plan.place"), value=situation.place, origin=you))
    preset = text(f"preset.{situation.draft.preset}")
    return [*rows, ReviewRow(name="preset", label=text("plan.preset"), value=preset, origin=you)]


def _row(text: Texts, proposal: Proposal, name: str) -> ReviewRow:
    spec, foreseen = proposal.plan.spec, proposal.estimate
    value = shown_value(text, name, getattr(spec, name))
    if name == "epochs":
        value = text("review.epochs", epochs=value, n=foreseen.steps)
    elif name == "batch_size" and spec.gradient_accumulation * spec.processes > 1:
        value = text("review.batch", batch=value, effective=text.number(spec.effective_batch))
    elif name == "cutoff_length":
        rows = max(1, proposal.facts.data.rows)
        value = text("review.cutoff", length=value, share=text.percent(1 - min(rows, foreseen.cut_rows) / rows))
    elif name == "validation_ratio" and foreseen.validation_rows:
        value = text("review.validation", share=text.percent(spec.validation_ratio), n=foreseen.validation_rows)
    return ReviewRow(
        name=name, label=label(text, name), value=value, origin=text(f"origin.{proposal.plan.origins[name]}")
    )


def _after(text: Texts, situation: Situation, proposal: Proposal) -> Sequence[ReviewRow]:
    draft = situation.draft
    origin = text("origin.you") if draft.experiment else text("origin.preset")
    does = text("deploys.yes" if draft.deploys else "deploys.no")
    return (
        ReviewRow(name="experiment", label=text("plan.experiment"), value=proposal.experiment, origin=origin),
        ReviewRow(
            name="deploys",
            label=text("plan.deploys"),
            value=does,
            origin=text("origin.preset" if draft.deploys else "origin.you"),
        ),
    )
