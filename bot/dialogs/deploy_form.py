"""What a deployment asks: the form of its fields, and the question whether others may be disturbed."""

from collections.abc import Mapping

from bot.dialogs.deploy_check import Checked
from bot.dialogs.deployment import SECTIONS, Deployment, shown
from bot.dialogs.questions import control_choice
from bot.landing import serving_places
from bot.obstacles import restart_words
from bot.phrases import Control
from bot.replies import Choice, Form, FormField, FormSection, Question
from bot.texts import Texts
from storage.models import Model


def deploy_form(text: Texts, deployment: Deployment, checked: Checked, *, key: str) -> Form:
    """The form: filled in with what was typed, else with what is or would be; errors at their fields."""
    errors = checked.errors
    here = checked.grounds.fields()
    sections = tuple(
        FormSection(
            title=text(f"deploy.section.{section}"),
            fields=tuple(_field(text, deployment, checked, name) for name in names if name in here),
        )
        for section, names in SECTIONS.items()
        if any(name in here for name in names)
    )
    intro = text("form.errors", n=len(errors)) if errors else text("deploy.form.intro", model=checked.model.name)
    return Form(
        id=deployment.changed(open="form").about,
        title=text("deploy.form.title", model=checked.model.name),
        intro=intro,
        sections=sections,
        submit_label=text("deploy.form.submit"),
        choices=(control_choice(text, Control.CANCEL),),
        key=key,
    )


def changed_fields(checked: Checked, answers: Mapping[str, str]) -> dict[str, str]:
    """What of a submitted form differs from what is or would be; fields that do not exist are passed over."""
    here = checked.grounds.fields()
    return {
        name: typed for name, typed in answers.items() if name in here and typed.strip() != shown(checked.present(name))
    }


def restart_question(text: Texts, deployment: Deployment, checked: Checked, base: Model, *, key: str) -> Question:
    """Whether the server may start anew though others are served by it."""
    choices = [Choice(say="yes", label=text("deploy.restart.yes"), style="primary")]
    if checked.landing.can_keep:
        choices.append(Choice(say="keep", label=text("deploy.restart.keep")))
    choices.append(Choice(say="no", label=text("deploy.restart.no")))
    return Question(
        id=deployment.changed(open="restart").about,
        markdown=restart_words(text, base, checked.landing),
        choices=tuple(choices),
        hints=(control_choice(text, Control.BACK), control_choice(text, Control.CANCEL)),
        key=key,
    )


def _field(text: Texts, deployment: Deployment, checked: Checked, name: str) -> FormField:
    value = deployment.typed.get(name, shown(checked.present(name)))
    options = _options(text, checked, name)
    is_free = name in ("quota", "gpu_product", "arguments")
    return FormField(
        name=name,
        label=text(f"deploy.field.{name}"),
        value=value,
        help=text(f"deploy.field.{name}.why"),
        kind="choice" if options else "text" if is_free or name == "service" else "number",
        options=options,
        error=checked.errors.get(name, ""),
    )


def _options(text: Texts, checked: Checked, name: str) -> tuple[Choice, ...]:
    if name == "pinned":
        return tuple(Choice(say=say, label=text(f"deploy.pinned.{say}")) for say in ("no", "yes"))
    if name == "place":
        return tuple(Choice(say=one.name, label=one.name) for one in serving_places(checked.grounds.world))
    cluster = checked.grounds.cluster
    if name == "gpu_product" and cluster and cluster.cards.products:
        any_card = Choice(say="default", label=text("deploy.any_card"))
        return (any_card, *(Choice(say=product, label=product) for product in cluster.cards.products))
    return ()
