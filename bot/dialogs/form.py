"""All parameters at once, as a form: prefilled with the plan, errors at their fields. Names are those of the spec."""

from collections.abc import Mapping

from bot.dialogs.questions import control_choice
from bot.dialogs.review import Proposal
from bot.dialogs.situation import Situation
from bot.dialogs.wording import label, shown_value
from bot.phrases import Control, Edit
from bot.replies import Choice, Form, FormField, FormSection
from bot.texts import Texts
from training.parameters import Parameter
from training.spec import PARAMETERS, InvalidValue, Section, format_value, parse_value

FORM = "form"


def plan_form(
    text: Texts,
    situation: Situation,
    proposal: Proposal,
    *,
    key: str,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Form:
    """The form; ``typed`` is what the person has entered, ``errors`` what is wrong with it, by field."""
    typed, errors = typed or {}, errors or {}
    sections = [_names(text, situation, proposal, typed, errors)]
    if situation.places:
        place = _place(text, situation, typed, errors)
        sections.append(FormSection(title=text("plan.place"), fields=(place,)))
    for section in Section:
        fields = tuple(
            _field(text, parameter, typed.get(name, _prefilled(proposal, name)), errors.get(name, ""))
            for name, parameter in PARAMETERS.items()
            if parameter.section is section
        )
        sections.append(FormSection(title=text(f"section.{section}"), fields=fields))
    return Form(
        id=FORM,
        title=text("form.title"),
        intro=text("form.errors", n=len(errors)) if errors else text("form.intro"),
        sections=tuple(sections),
        submit_label=text("form.submit"),
        choices=(control_choice(text, Control.BACK), control_choice(text, Control.CANCEL)),
        key=key,
    )


def form_edits(proposal: Proposal, situation: Situation, answers: Mapping[str, str]) -> list[Edit]:
    """The fields that the person changed, as edits; fields that do not exist are passed over."""
    edits = []
    for name, text in answers.items():
        if name in PARAMETERS and not _is_same(name, text, _prefilled(proposal, name)):
            edits.append(Edit(name=name, text=text))
    experiment = answers.get("experiment", "").strip()
    if experiment and experiment != proposal.experiment:
        edits.append(Edit(name="experiment", text=experiment))
    deploys = answers.get("deploys", "")
    if deploys and deploys != _yes_no(situation.draft.deploys):
        edits.append(Edit(name="deploys", text=deploys))
    place = answers.get("place", "").strip()
    if place and place != situation.place:
        edits.append(Edit(name="place", text=place))
    return edits


def _prefilled(proposal: Proposal, name: str) -> str:
    return format_value(name, getattr(proposal.plan.spec, name))


def _is_same(name: str, typed: str, prefilled: str) -> bool:
    if typed.strip() == prefilled:
        return True
    try:
        return bool(parse_value(name, typed) == parse_value(name, prefilled))
    except InvalidValue:
        return False


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _names(
    text: Texts, situation: Situation, proposal: Proposal, typed: Mapping[str, str], errors: Mapping[str, str]
) -> FormSection:
    deploys = typed.get("deploys", _yes_no(situation.draft.deploys))
    fields = (
        FormField(
            name="experiment",
            label=text("plan.experiment"),
            value=typed.get("experiment", proposal.experiment),
            help=text("what.experiment"),
            error=errors.get("experiment", ""),
        ),
        FormField(
            name="deploys",
            label=text("plan.deploys"),
            value=deploys,
            help=text("what.deploys"),
            kind="choice",
            options=tuple(Choice(say=say, label=text(f"deploys.{say}")) for say in ("yes", "no")),
            error=errors.get("deploys", ""),
        ),
    )
    return FormSection(title=text("review.section.after"), fields=fields)


def _place(text: Texts, situation: Situation, typed: Mapping[str, str], errors: Mapping[str, str]) -> FormField:
    return FormField(
        name="place",
        label=text("plan.place"),
        value=typed.get("place", situation.place or ""),
        help=text("what.place"),
        kind="choice",
        options=tuple(Choice(say=place.name, label=place.name) for place in situation.places),
        error=errors.get("place", ""),
    )


def _field(text: Texts, parameter: Parameter, value: str, error: str) -> FormField:
    name = parameter.name
    options = tuple(Choice(say=choice, label=shown_value(text, name, choice)) for choice in parameter.choices)
    return FormField(
        name=name,
        label=label(text, name),
        value=value,
        help=text(f"parameter.{name}.why"),
        kind="choice" if options else "text" if parameter.optional else "number",
        options=options,
        error=error,
    )
