"""What is said while a deployment is open: its form, an answer, fields in plain words."""

from bot.context import Context
from bot.dialogs import general
from bot.dialogs.answers import match_choice
from bot.dialogs.asking import close_message
from bot.dialogs.deploy_check import check
from bot.dialogs.deploy_form import changed_fields, deploy_form
from bot.dialogs.deploy_steps import ask, complain, complaints, described, new_key, put_aside, restart_asked, settle
from bot.dialogs.deployment import (
    ABOUT,
    LONGEST_READ,
    SETTING_OF,
    WORDS,
    Deployment,
    read_deployment,
    shown,
    vocabulary,
    write_deployment,
)
from bot.dialogs.edits import NO, YES
from bot.dialogs.rights import may_manage
from bot.dialogs.situation import Wrong
from bot.dialogs.wording import quoted, sentence
from bot.hosting import is_adapter
from bot.lexicon import fold
from bot.phrases import Control, read_control, read_edits, read_topic
from bot.replies import Choice, Notice, Text


def is_asked(context: Context) -> bool:
    """Whether a turn belongs to the deployment that is open in the thread."""
    about = context.turn.about
    return context.thread.deployment is not None and (about is None or about.startswith(ABOUT))


async def answer(context: Context) -> None:
    """Anything said while a deployment is open: its form, an answer, a word that can be said anywhere, fields."""
    deployment = read_deployment(context.thread)
    about = context.turn.about
    if deployment is None or (about is not None and not about.endswith(f".{deployment.token}")):
        await general.say_closed(context)
        return
    text = context.turn.text
    control = read_control(text)
    if control is Control.CANCEL:
        await put_aside(context)
        again = Choice(say="/deploy", label=context.texts("models.choice.deploy"))
        await context.reply(Text(markdown=context.texts("deploy.put_aside"), choices=(again,)))
    elif not await may_manage(context):
        return
    elif context.turn.answers is not None:
        await _submit(context, deployment)
    elif deployment.open == "restart" and about in (None, deployment.about):
        await _answer_restart(context, deployment, control)
    else:
        await _answer_form(context, deployment, control)


async def ask_again(context: Context) -> bool:
    """Ask the open question once more, in the thread's present language; False where none is open."""
    deployment = read_deployment(context.thread)
    if deployment is None:
        return False
    await ask(context, deployment)
    return True


async def _submit(context: Context, deployment: Deployment) -> None:
    """The form came back."""
    present = await check(context, deployment.changed(typed={}))
    place = (context.turn.answers or {}).get("place", "")
    if place and place != present.grounds.place:
        # What is there by default is another thing in another place.
        present = await check(context, deployment.changed(typed={"place": place}))
    typed = changed_fields(present, context.turn.answers or {})
    if place and place == shown(present.present("place")) and present.values.get("place"):
        typed["place"] = place
    after = deployment.changed(typed=typed)
    checked = await check(context, after)
    if not checked.errors:
        await settle(context, after)
        return
    key = deployment.open_key if deployment.open == "form" else new_key()
    if key != deployment.open_key:
        await close_message(context, deployment.open_key, context.texts("answered.again"))
    await context.refuse(deploy_form(context.texts, after, checked, key=key))
    write_deployment(context.thread, after.changed(open="form", open_key=key))


async def _answer_form(context: Context, deployment: Deployment, control: Control | None) -> None:
    text, said = context.texts, context.turn.text
    if topic := read_topic(said, vocabulary()):
        await _explain(context, deployment, topic)
    elif control is Control.WHAT:
        await context.reply(Text(markdown=text("deploy.what")))
        await ask(context, deployment)
    elif control is Control.BACK:
        await context.reply(Notice(text=text("back.first")))
        await ask(context, deployment)
    elif control is not None or fold(said).strip() in {fold(text("deploy.form.submit")), "deploy", "yes"}:
        await settle(context, deployment)
    else:
        await _edit(context, deployment, said)


async def _answer_restart(context: Context, deployment: Deployment, control: Control | None) -> None:
    text = context.texts
    checked = await check(context, deployment)
    try:
        choice = match_choice(await restart_asked(context, deployment, checked, ""), context.turn.text)
    except Wrong as wrong:
        await complain(context, [sentence(text, wrong.message_id, wrong.values)])
        await ask(context, deployment)
        return
    said = choice.say if choice else fold(context.turn.text).strip()
    if control is Control.BACK:
        await ask(context, deployment.changed(open="form"))
    elif said in YES:
        await settle(context, deployment.changed(agrees_to_restart=True))
    elif said in NO:
        await put_aside(context)
        await context.reply(Notice(text=text("deploy.unchanged")))
    elif said == "keep" and checked.landing.can_keep:
        kept = {name: typed for name, typed in deployment.typed.items() if name not in SETTING_OF}
        if is_adapter(checked.model) and checked.landing.adapters > checked.landing.loras:
            # A number that is given is not raised.
            kept["max_loras"] = str(checked.landing.loras)
        await settle(context, deployment.changed(typed=kept))
    else:
        await _edit(context, deployment, context.turn.text)


async def _explain(context: Context, deployment: Deployment, topic: str) -> None:
    """What a field is about; then the open question again."""
    text = context.texts
    if f"deploy.field.{topic}.why" in text:
        markdown = f"**{text(f'deploy.field.{topic}')}**: {text(f'deploy.field.{topic}.why')}"
    else:
        markdown = text("deploy.what")
    await context.reply(Text(markdown=markdown))
    await ask(context, deployment)


async def _edit(context: Context, deployment: Deployment, words: str) -> None:
    """Fields in plain words: what can be is taken over, what cannot is told, and the form asked again."""
    text = context.texts
    reading = read_edits(words[:LONGEST_READ], vocabulary())
    new = {edit.name: edit.text for edit in reading.edits if edit.name in vocabulary_fields()}
    if not new:
        await complain(context, complaints(context, reading) or [text("answer.unknown", text=quoted(words))])
        await ask(context, deployment)
        return
    after = await check(context, deployment.changed(typed=deployment.typed | new))
    wrong = {name: error for name, error in after.errors.items() if name in new}
    taken = {name: typed for name, typed in new.items() if name not in wrong}
    await complain(context, [*wrong.values(), *complaints(context, reading)])
    if taken:
        await context.reply(Notice(text=text("edit.noted", changes=described(context, after, list(taken)))))
    await ask(context, deployment.changed(typed=deployment.typed | taken, open="form"))


def vocabulary_fields() -> frozenset[str]:
    """The names of all fields."""
    return frozenset(vocabulary().names.values()) - WORDS
