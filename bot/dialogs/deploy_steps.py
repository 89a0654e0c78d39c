"""The steps of a deployment: the form, the question whether others may be disturbed, and doing it."""

from dataclasses import replace
from uuid import uuid4

from bot.cards import service_card
from bot.context import Context, say
from bot.dialogs.asking import close_message
from bot.dialogs.deploy_check import Checked, check
from bot.dialogs.deploy_form import deploy_form, restart_question
from bot.dialogs.deployment import Deployment, read_deployment, shown, write_deployment
from bot.dialogs.wording import quoted
from bot.landing import land
from bot.lexicon import fold
from bot.obstacles import full_reply
from bot.phrases import Reading
from bot.replies import Choice, Notice, Question, Text
from bot.texts import texts
from storage.models import Host, Model, Service
from storage.services import threads_talking_to
from storage.states import ServiceState


async def put_aside(context: Context) -> None:
    """Close the deployment that is open in the thread, if there is one."""
    deployment = read_deployment(context.thread)
    if deployment is not None:
        await close_message(context, deployment.open_key, context.texts("answered.cancelled"))
        write_deployment(context.thread, None)


async def settle(context: Context, deployment: Deployment) -> None:
    """Do it, unless something is wrong, the host is full, or others would be disturbed and nobody said yes to that."""
    checked = await check(context, deployment)
    landing = checked.landing
    if checked.errors:
        await complain(context, list(checked.errors.values()))
        await ask_form(context, deployment, checked)
    elif landing.is_full:
        await put_aside(context)
        base = await context.session.get_one(Model, landing.base_id)
        await context.refuse(replace(full_reply(context.texts, checked.model, base, landing), key=None))
    elif landing.disturbs and not deployment.agrees_to_restart:
        await _ask_restart(context, deployment, checked)
    else:
        await close_message(context, deployment.open_key, context.texts("deploy.answered"))
        write_deployment(context.thread, None)
        service = await _carry_out(context, checked)
        if deployment.is_anyway:
            service.accepts_endless = checked.model.id


async def _carry_out(context: Context, checked: Checked) -> Service:
    session, text, model = context.session, context.texts, checked.model
    before = await _model_before(context, checked)
    service = await land(
        session,
        model,
        checked.landing,
        thread_id=context.thread.id,
        service=checked.service,
        name=checked.name,
        user_id=checked.user.id,
        is_pinned=checked.is_pinned,
    )
    context.thread.service_id, context.thread.speaker = service.id, "tuned"
    if before is not None:
        await _say_repointed(context, service, before, model)
    host = await session.get_one(Host, service.host_id)
    await context.reply(service_card(text, service, host, model))
    noted = [name for name in checked.values if name != "service"]
    if checked.service is not None and noted:
        # The card may stand far above.
        await context.reply(Notice(text=text("edit.noted", changes=described(context, checked, noted))))
    if service.state is ServiceState.READY:
        await context.reply(Notice(text=text("chat.talking", name=service.name)))
    return service


async def _model_before(context: Context, checked: Checked) -> Model | None:
    """What the service has served, where that is another model."""
    if checked.service is None or checked.service.model_id == checked.model.id:
        return None
    return await context.session.get_one(Model, checked.service.model_id)


async def _say_repointed(context: Context, service: Service, before: Model, model: Model) -> None:
    """Everybody who talks to the service learns that another model answers from now on."""
    values = {"service": service.name, "model": model.name, "before": before.name}
    back = Choice(
        say=f"/deploy {before.name} service={service.name}",
        label=context.texts("deploy.choice.back", name=before.name),
    )
    await context.reply(Text(markdown=context.texts("deploy.repointed", **values), choices=(back,)))
    for thread in await threads_talking_to(context.session, service.id):
        if thread.id != context.thread.id:
            words = texts(thread.language)("deploy.repointed.elsewhere", **values)
            await say(context.session, thread, Notice(text=words))


async def ask(context: Context, deployment: Deployment) -> None:
    """Ask the open question anew, below."""
    checked = await check(context, deployment)
    if deployment.open == "restart" and checked.landing.disturbs and not checked.errors:
        await _ask_restart(context, deployment, checked)
    else:
        await ask_form(context, deployment, checked)


async def ask_form(context: Context, deployment: Deployment, checked: Checked) -> None:
    """Ask for the fields, below."""
    await close_message(context, deployment.open_key, context.texts("answered.again"))
    key = new_key()
    await context.reply(deploy_form(context.texts, deployment, checked, key=key))
    write_deployment(context.thread, deployment.changed(open="form", open_key=key))


async def _ask_restart(context: Context, deployment: Deployment, checked: Checked) -> None:
    await close_message(context, deployment.open_key, context.texts("answered.again"))
    key = new_key()
    await context.reply(await restart_asked(context, deployment, checked, key))
    write_deployment(context.thread, deployment.changed(open="restart", open_key=key))


async def restart_asked(context: Context, deployment: Deployment, checked: Checked, key: str) -> Question:
    """Whether others may be disturbed, as a question."""
    base = await context.session.get_one(Model, checked.landing.base_id)
    return restart_question(context.texts, deployment, checked, base, key=key)


async def complain(context: Context, sentences: list[str]) -> None:
    """Say all that is wrong, in one message."""
    if sentences:
        lines = sentences if len(sentences) == 1 else [f"- {line}" for line in sentences]
        await context.refuse(Text(markdown="\n".join(lines), tone="warning"))


def complaints(context: Context, reading: Reading) -> list[str]:
    """What of a line was not understood."""
    text = context.texts
    sentences = []
    for words in reading.unknown:
        code = "edit.unknown.nearest" if words.nearest and "=" in fold(words.text) else "answer.unknown"
        sentences.append(text(code, text=quoted(words.text), nearest=words.nearest or ""))
    return sentences


def described(context: Context, checked: Checked, names: list[str]) -> str:
    """Fields with their values now: "Instances 2, Stays up yes"."""
    text = context.texts
    parts = []
    for name in names:
        value = checked.grounds.default(name) if checked.values[name] is None else checked.values[name]
        words = (
            text(f"deploy.pinned.{shown(value)}") if name == "pinned" else quoted(shown(value)) or text("value.none")
        )
        parts.append(f"{text(f'deploy.field.{name}')} {words}")
    return text.joined(parts)


def new_key() -> str:
    """The key of a message that asks something."""
    return f"question:{uuid4().hex[:12]}"
