"""``/deploy``: its fields are asked for, or taken from one line; then the thread talks to the model."""

from uuid import uuid4

from bot.commands import Request
from bot.context import Context
from bot.dialogs.deploy_check import check
from bot.dialogs.deploy_steps import ask_form, complain, complaints, put_aside, settle
from bot.dialogs.deployment import LONGEST_READ, WORDS, Deployment, vocabulary
from bot.dialogs.edits import YES
from bot.dialogs.finding import say_deleted, say_no_such
from bot.dialogs.keeping import keep
from bot.dialogs.rights import may_manage
from bot.dialogs.runs import can_keep
from bot.lexicon import fold
from bot.phrases import read_edits
from bot.replies import Choice, Item, Listing, Text
from storage.catalogue import find_model, model_of_run, models_of, newest_model_of
from storage.deletion import is_gone
from storage.models import Model
from storage.runs import find_run
from storage.services import find_service
from storage.states import ModelKind, ModelState


async def deploy(context: Context, request: Request) -> None:
    """``/deploy [MODEL] [FIELD=VALUE ...]``: without a model's name the fields are asked for; with one, nothing is."""
    if not await may_manage(context):
        return
    name, words = await _split(context, request.arguments.strip())
    reading = read_edits(words[:LONGEST_READ], vocabulary())
    typed = {edit.name: edit.text for edit in reading.edits}
    said = {word for word in WORDS if fold(typed.pop(word, "no")) in YES}
    model = await (_named_model(context, name, typed) if name else _thread_model(context))
    if model is None:
        return
    if model.state is not ModelState.READY:
        await context.refuse(Text(markdown=context.texts("deploy.not_here", name=model.name), tone="warning"))
        return
    await put_aside(context)
    deployment = Deployment(
        token=uuid4().hex[:8],
        model_id=model.id,
        typed=typed,
        is_anyway="anyway" in said,
        agrees_to_restart="restart" in said,
    )
    wrong = complaints(context, reading)
    if wrong or "form" in said or not name:
        checked = await check(context, deployment)
        await complain(context, [*checked.errors.values(), *wrong])
        await ask_form(context, deployment, checked)
    else:
        await settle(context, deployment)


async def _split(context: Context, arguments: str) -> tuple[str, str]:
    """The model's name, and the rest. A first word that names a field is no model's name, unless a model has it."""
    first, _, rest = arguments.partition(" ")
    folded = fold(first)
    if "=" in folded:
        return "", arguments
    if folded in vocabulary().answers and await find_model(context.session, first) is None:
        return "", arguments
    return first, rest.strip()


async def _named_model(context: Context, name: str, typed: dict[str, str]) -> Model | None:
    """The model of that name, of that run, or of that service; None: it has been said."""
    model = await find_model(context.session, name)
    if model is not None:
        return model
    run = await find_run(context.session, name)
    if run is not None and run.deletion_wanted_at is not None:
        await say_deleted(context, name)
        return None
    model = await model_of_run(context.session, run.id) if run is not None else None
    if model is not None:
        return model
    if run is not None and await can_keep(context, run):
        keep(context, run)
        return None
    service = await find_service(context.session, name)
    if service is not None and await is_gone(context.session, service.model_id):
        await say_deleted(context, name)
        return None
    if service is not None:
        typed.setdefault("service", service.name)
        return await context.session.get_one(Model, service.model_id)
    tuned = await models_of(context.session, ModelKind.TUNED)
    await say_no_such(context, "model", name, [model.name for model in tuned], command="deploy")
    return None


async def _thread_model(context: Context) -> Model | None:
    """The model that this thread made; else the only one there is; else a choice."""
    model = await newest_model_of(context.session, context.thread.id)
    tuned = await models_of(context.session, ModelKind.TUNED)
    if model is not None or len(tuned) == 1:
        return model or tuned[0]
    text = context.texts
    items = tuple(
        Item(
            title=model.name,
            choices=(
                Choice(say=f"/deploy {model.name}", label=text("models.choice.deploy")),
                Choice(say=f"/deploy {model.name} form", label=text("deploy.choice.form")),
            ),
        )
        for model in reversed(tuned)
    )
    begin = Choice(say="/finetune", label=text("starter.finetune"), style="primary")
    await context.reply(
        Listing(title=text("deploy.which"), items=items, empty=text("deploy.none"), choices=() if items else (begin,))
    )
    return None
