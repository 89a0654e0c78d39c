"""The guided conversation: whatever is said while a plan is open, until it is started or put aside."""

import re

from bot.commands import Request
from bot.context import Context
from bot.dialogs import deploy_answers, general
from bot.dialogs.answers import Taken, skip, take
from bot.dialogs.asking import close, go_on, show_data
from bot.dialogs.changing import edit, here, is_known, read, refuse, sentence_of, submit
from bot.dialogs.form import FORM
from bot.dialogs.opening import ask_again, begin
from bot.dialogs.questions import RECOMMENDED, previous_step
from bot.dialogs.situation import Situation, Wrong, load
from bot.dialogs.start import start
from bot.dialogs.wording import label, sentence
from bot.draft import read_draft, write_draft
from bot.facts import Uncountable
from bot.phrases import Control, Reading, read_control, read_topic
from bot.replies import Choice, Notice, Text
from bot.vocabulary import vocabulary
from training.spec import PARAMETERS

__all__ = ["answer", "ask_again", "begin", "language"]


async def answer(context: Context) -> None:
    """Anything said while a plan is open: an answer, a word that can be said anywhere, or an edit."""
    draft = read_draft(context.thread)
    if draft is None:
        await general.say_lost(context)
        return
    situation = await load(context, draft)
    step = context.turn.about or draft.open
    if not is_known(situation, step):
        await general.say_closed(context)
        return
    try:
        await _answer(context, situation, step)
    except Uncountable as trouble:
        await refuse(context, situation, sentence(context.texts, trouble.message_id, trouble.values))


async def _answer(context: Context, situation: Situation, step: str) -> None:
    text = context.turn.text
    if context.turn.answers is not None and situation.data and situation.model:
        await submit(context, situation)
    elif control := read_control(text):
        await _control(context, situation, step, control)
    elif topic := read_topic(text, vocabulary()):
        await _explain(context, situation, topic)
    elif step.startswith("fill.") and _is_plainly_an_edit(text, read(text, situation)):
        await edit(context, situation, text)
    else:
        await _take(context, situation, step, text)


async def language(context: Context, request: Request) -> None:
    """``/language zh``: the open question is then asked again, in the new language."""
    before = context.thread.language
    await general.language(context, request)
    if context.thread.language != before and not await deploy_answers.ask_again(context):
        await ask_again(context)


def _is_plainly_an_edit(text: str, reading: Reading) -> bool:
    """Whether free text at a question for a fill is meant for something else: "lr 1e-4", "fill.author=Acme"."""
    if not reading.is_whole:
        return False
    if re.search(r"\w\s?[=＝]\s?\S", text):
        return True
    return any(character.isdecimal() for character in text) and all(
        change.name in PARAMETERS for change in reading.edits
    )


async def _take(context: Context, situation: Situation, step: str, text: str) -> None:
    try:
        taken = await take(context, situation, step, text)
    except Wrong as wrong:
        if step.startswith("fill."):
            await refuse(context, situation, sentence_of(context, wrong))
        else:
            await edit(context, situation, text, otherwise=wrong)
        return
    await _go_on_from(context, situation, step, taken)


async def _go_on_from(context: Context, before: Situation, step: str, taken: Taken) -> None:
    """Close the question and go on. An earlier question's answer is changed, and the open question stays open."""
    after = taken.situation
    is_open = step == before.draft.open
    if not is_open and not taken.says and after.draft == before.draft:
        await context.reply(Notice(text=context.texts("question.same")))
        return
    await close(context, before.draft, (is_open and taken.answered) or context.texts("answered.again"))
    for reply in taken.says:
        await context.reply(reply)
    await show_data(context, after, before=before)
    if is_open:
        next_step = taken.next_step or (step if taken.says else after.next_step())
    else:
        next_step = taken.next_step or here(after)
        if taken.answered:
            changes = f"{label(context.texts, step)} {taken.answered}"
            await context.reply(Notice(text=context.texts("edit.noted", changes=changes)))
    await go_on(context, after, step=next_step)


async def _control(context: Context, situation: Situation, step: str, control: Control) -> None:
    if control is Control.CANCEL:
        await _cancel(context, situation)
    elif control is Control.START:
        await close(context, situation.draft, context.texts("answered.started"))
        await start(context, situation)
    elif control is Control.BACK:
        await _back(context, situation, step)
    elif control is Control.WHAT:
        await _explain(context, situation, step)
    elif control is Control.CHANGE and situation.data and situation.model:
        await close(context, situation.draft, context.texts("answered.again"))
        await go_on(context, situation, step=FORM)
    elif control is Control.SKIP or (control is Control.DONE and step in {FORM, *RECOMMENDED}):
        await _skip(context, situation, step)
    else:
        await _take(context, situation, step, context.turn.text)


async def _cancel(context: Context, situation: Situation) -> None:
    text = context.texts
    await close(context, situation.draft, text("answered.cancelled"))
    write_draft(context.thread, None)
    choices = general.starters(context.thread.language)
    if situation.data:
        again = Choice(say=f"/finetune dataset={situation.data.name}", label=text("cancelled.again"), style="primary")
        choices = (again, *choices[2:])
    await context.reply(Text(markdown=text("cancelled"), choices=choices))


async def _back(context: Context, situation: Situation, step: str) -> None:
    previous = previous_step(situation, step)
    if previous is None:
        await refuse(context, situation, context.texts("back.first"))
        return
    await close(context, situation.draft, context.texts("answered.back"))
    await go_on(context, situation, step=previous)


async def _skip(context: Context, situation: Situation, step: str) -> None:
    if step != situation.draft.open:
        await general.say_closed(context)
        return
    try:
        taken = await skip(context, situation, step)
    except Wrong as wrong:
        await refuse(context, situation, sentence_of(context, wrong))
        return
    await _go_on_from(context, situation, step, taken)


async def _explain(context: Context, situation: Situation, topic: str) -> None:
    """What a question or a parameter is about; then the open question again."""
    text = context.texts
    if topic in PARAMETERS:
        markdown = f"**{label(text, topic)}**: {text(f'parameter.{topic}.why')}"
    else:
        markdown = text(f"what.{topic.partition('.')[0]}")
    await close(context, situation.draft, text("answered.again"))
    await context.reply(Text(markdown=markdown))
    await go_on(context, situation, step=here(situation))
