"""The guided conversation: from a file, or ``/finetune``, through the questions and the review to a run."""

import re

from bot.commands import Request
from bot.context import Context
from bot.dialogs import general
from bot.dialogs.answers import Taken, skip, take
from bot.dialogs.asking import REVIEW, ask, close, go_on
from bot.dialogs.edits import Edited, apply_edit, apply_edits, placeholder_pairs
from bot.dialogs.examples import EXAMPLE, example_version
from bot.dialogs.form import FORM, form_edits, plan_form
from bot.dialogs.questions import foresee, previous_step
from bot.dialogs.review import caution, propose, review_card
from bot.dialogs.situation import Situation, Wrong, load
from bot.dialogs.start import start_run
from bot.dialogs.wording import invalid_sentence, label, quoted, sentence, shown_value, wrong_sentence
from bot.draft import Draft, read_draft, write_draft
from bot.facts import Uncountable
from bot.ingest import Ingested
from bot.phrases import Control, Edit, Reading, Unknown, read_control, read_edits, read_topic
from bot.replies import Choice, Notice, Text
from bot.vocabulary import vocabulary
from training.presets import Preset
from training.spec import PARAMETERS, InvalidValue


async def begin(context: Context, request: Request) -> None:
    """``/finetune`` with anything after it, or a dropped file."""
    draft = read_draft(context.thread)
    files = await _accepted(context, request.files)
    if request.files and not files:
        if draft:
            await _ask_again(context, await load(context, draft))
        return
    words = request.arguments or ("" if context.turn.text.startswith("/") else context.turn.text)
    named, words = _named_dataset(words)
    is_command = context.turn.text.startswith("/")
    if draft and files and not is_command:
        await _offer(context, draft, files[0])
    elif draft and not files and not named:
        situation = await load(context, draft)
        await _edit(context, situation, words) if words else await _ask_again(context, situation)
    else:
        if draft:
            await close(context, draft, context.texts("answered.cancelled"))
        await _begin_anew(context, files[0] if files else None, named, words)
    for other in files[1:]:
        await context.reply(Notice(text=context.texts("files.one_at_a_time", name=other.file_name)))


async def _accepted(context: Context, files: tuple[Ingested, ...]) -> list[Ingested]:
    """The files that were taken in; why the others were not is said."""
    for file in files:
        if file.error:
            reason = sentence(context.texts, file.error, dict(file.error_values))
            markdown = context.texts("file.refused", name=quoted(file.file_name), reason=reason)
            await context.refuse(Text(markdown=markdown, tone="bad"))
    return [file for file in files if file.version_id]


def _named_dataset(words: str) -> tuple[str | None, str]:
    """The ``@name`` in a line, and the line without it."""
    found = re.search(r"(?:^|\s)@(\S+)", words)
    if not found:
        return None, words
    return found[1], (words[: found.start()] + " " + words[found.end() :]).strip()


async def _begin_anew(context: Context, file: Ingested | None, named: str | None, words: str) -> None:
    draft = Draft(version_id=file.version_id if file else None)
    edits = [Edit(name="dataset", text=named)] if named and file is None and f"@{named}" != EXAMPLE else []
    if file is None and named and f"@{named}" == EXAMPLE:
        draft = draft.changed(version_id=await example_version(context))
    edited = await apply_edits(context, await load(context, draft), edits)
    reading = _read(words, edited.situation)
    # Fills can be checked when the data set is known, so its name is looked at first.
    dataset = [edit for edit in reading.edits if edit.name == "dataset"]
    edited = _joined(edited, await apply_edits(context, edited.situation, dataset))
    reading = _read(words, edited.situation)
    rest = [edit for edit in reading.edits if edit.name != "dataset"]
    edited = _joined(edited, await apply_edits(context, edited.situation, rest))
    await _say_wrong(context, edited, reading.unknown)
    if edited.wants_start:
        await _start(context, edited.situation, shows_data=True)
    else:
        await go_on(context, edited.situation, shows_data=True)


def _joined(first: Edited, second: Edited) -> Edited:
    return Edited(
        situation=second.situation,
        changed=(*first.changed, *second.changed),
        wrong=(*first.wrong, *second.wrong),
        wants_start=first.wants_start or second.wants_start,
    )


async def _offer(context: Context, draft: Draft, file: Ingested) -> None:
    """A file in the middle of a plan: it takes the place of the present one, or is offered to."""
    situation = await load(context, draft)
    if situation.data and situation.data.version.id == file.version_id:
        await context.reply(Notice(text=context.texts("file.same")))
        await _ask_again(context, situation)
        return
    if situation.data and draft.has_answers:
        await close(context, draft, context.texts("answered.again"))
        await ask(context, situation.with_draft(draft.changed(offered_version_id=file.version_id)), "offer")
        return
    await close(context, draft, file.file_name)
    changed = await load(context, draft.changed(version_id=file.version_id, leaves_out_bad_rows=False))
    await go_on(context, changed, shows_data=True)


async def answer(context: Context) -> None:
    """Anything said while a plan is open: an answer, a word that can be said anywhere, or an edit."""
    draft = read_draft(context.thread)
    if draft is None:
        await general.say_lost(context)
        return
    situation = await load(context, draft)
    turn = context.turn
    step = turn.about or draft.open
    if not _is_known(situation, step):
        await general.say_closed(context)
    elif turn.answers is not None:
        await _submit(context, situation)
    elif control := read_control(turn.text):
        await _control(context, situation, step, control)
    elif topic := read_topic(turn.text, vocabulary()):
        await _explain(context, situation, topic)
    else:
        await _answer(context, situation, step, turn.text)


async def ask_again(context: Context) -> None:
    """Ask the open question once more, in the thread's present language; nothing where none is open."""
    draft = read_draft(context.thread)
    if draft:
        await _ask_again(context, await load(context, draft))


def _is_known(situation: Situation, step: str) -> bool:
    if step == "offer":
        return situation.draft.offered_version_id is not None
    return step in {*situation.steps(), REVIEW, FORM}


def _here(situation: Situation) -> str:
    """The open question, where it still makes sense; else the first that is not answered."""
    step = situation.draft.open
    if not _is_known(situation, step) or (step in {REVIEW, FORM} and situation.next_step() != REVIEW):
        return situation.next_step()
    return step


async def _ask_again(context: Context, situation: Situation) -> None:
    await close(context, situation.draft, context.texts("answered.again"))
    await go_on(context, situation, step=_here(situation))


async def _answer(context: Context, situation: Situation, step: str, text: str) -> None:
    if not step.startswith("fill.") or context.turn.about is None:
        reading = _read(text, situation)
        if step.startswith("fill.") and _is_plainly_an_edit(text, reading):
            await _edit(context, situation, text)
            return
    try:
        taken = await take(context, situation, step, text)
    except Wrong as wrong:
        if step.startswith("fill."):
            await _refuse(context, situation, wrong_sentence(context.texts, wrong))
        else:
            await _edit(context, situation, text, otherwise=wrong)
        return
    except Uncountable as trouble:
        await _refuse(context, situation, sentence(context.texts, trouble.message_id, trouble.values))
        return
    await _went(context, situation, step, taken)


def _is_plainly_an_edit(text: str, reading: Reading) -> bool:
    """Whether free text at a question for a fill is meant for something else: "lr 1e-4", "fill.author=Acme"."""
    if not reading.is_whole:
        return False
    if re.search(r"\w\s?[=＝]\s?\S", text):
        return True
    return any(character.isdecimal() for character in text) and all(edit.name in PARAMETERS for edit in reading.edits)


async def _went(context: Context, before: Situation, step: str, taken: Taken) -> None:
    """Close the question and go on; an earlier question's answer is changed, and the open question stays."""
    after = taken.situation
    if step == before.draft.open:
        await close(context, before.draft, taken.answered or context.texts("answered.again"))
        for reply in taken.says:
            await context.reply(reply)
        again = step if taken.says else None
        await go_on(context, after, step=taken.next_step or again, shows_data=_has_new_data(before, after))
        return
    for reply in taken.says:
        await context.reply(reply)
    if after.draft == before.draft:
        await context.reply(Notice(text=context.texts("question.same")))
        return
    await close(context, before.draft, context.texts("answered.again"))
    await context.reply(Notice(text=context.texts("edit.noted", changes=f"{taken.answered}")))
    await go_on(context, after, step=taken.next_step or _here(after), shows_data=_has_new_data(before, after))


def _has_new_data(before: Situation, after: Situation) -> bool:
    return before.draft.version_id != after.draft.version_id


def _read(text: str, situation: Situation) -> Reading:
    return read_edits(text, vocabulary(), placeholder_pairs(situation))


async def _edit(context: Context, situation: Situation, text: str, *, otherwise: Wrong | None = None) -> None:
    """Take ``text`` as edits; where it holds none, say what is ``otherwise`` wrong and ask again."""
    reading = _read(text, situation)
    if not reading.edits:
        wrong = otherwise or Wrong("answer.unknown", text=text)
        suggestion = next((unknown.nearest for unknown in reading.unknown if unknown.nearest and "=" in text), None)
        if suggestion:
            wrong = Wrong("edit.unknown.nearest", text=text, nearest=suggestion)
        await _refuse(context, situation, _sentence_of(context, wrong))
        return
    edited = await apply_edits(context, situation, reading.edits)
    await _edited(context, situation, edited, reading.unknown)


async def _edited(context: Context, before: Situation, edited: Edited, unknown: tuple[Unknown, ...]) -> None:
    """Say what was taken over and what was not, and go on."""
    after = edited.situation
    step = before.draft.open
    is_answered = step in after.steps() and after.is_answered(step) and not before.is_answered(step)
    answered = _described(context, after, (step,)) if is_answered else context.texts("answered.again")
    await close(context, before.draft, answered)
    await _say_wrong(context, edited, unknown)
    if edited.wants_start:
        await _start(context, after, shows_data=_has_new_data(before, after))
        return
    if edited.changed:
        changes = _described(context, after, edited.changed)
        await context.reply(Notice(text=context.texts("edit.noted", changes=changes)))
    next_step = after.next_step() if is_answered or step == FORM else _here(after)
    if "preset" in edited.changed and after.draft.preset == Preset.CUSTOM and next_step == REVIEW and step != REVIEW:
        next_step = FORM
    await go_on(context, after, step=next_step, shows_data=_has_new_data(before, after))


def _described(context: Context, situation: Situation, names: tuple[str, ...]) -> str:
    """Names with their values now: "Learning rate 1e-4, Epochs 2"."""
    text, draft = context.texts, situation.draft
    parts = []
    for name in dict.fromkeys(names):
        value: object
        if name in PARAMETERS:
            value = shown_value(text, name, draft.values[name])
        elif name.startswith("fill."):
            value = next((draft.fills[known] for known in draft.fills if known.lower() == name[5:].lower()), "")
        else:
            value = _plan_value(context, situation, name)
        parts.append(f"{label(text, name)} {value}")
    return text.joined(parts)


def _plan_value(context: Context, situation: Situation, name: str) -> str:
    text, draft = context.texts, situation.draft
    data = situation.data
    return {
        "preset": text(f"preset.{draft.preset}") if draft.preset else "",
        "base_model": draft.base_model or "",
        "experiment": draft.experiment or "",
        "deploys": text("deploys.yes" if draft.deploys else "deploys.no"),
        "bad_rows": text("bad_rows.left_out" if draft.leaves_out_bad_rows else "bad_rows.kept_asking"),
        "dataset": data.name if data else "",
        "dataset_name": data.name if data else "",
    }[name]


async def _say_wrong(context: Context, edited: Edited, unknown: tuple[Unknown, ...]) -> None:
    """All that could not be taken over, in one message."""
    sentences = [_sentence_of(context, wrong) for wrong in edited.wrong]
    for words in unknown:
        if words.nearest and "=" in words.text:
            sentences.append(context.texts("edit.unknown.nearest", text=quoted(words.text), nearest=words.nearest))
        else:
            sentences.append(context.texts("answer.unknown", text=quoted(words.text)))
    if sentences:
        await context.refuse(Text(markdown="\n".join(f"- {line}" for line in sentences), tone="warning"))


def _sentence_of(context: Context, wrong: Wrong | InvalidValue) -> str:
    if isinstance(wrong, InvalidValue):
        return invalid_sentence(context.texts, wrong)
    values = {name: quoted(value) if isinstance(value, str) else value for name, value in wrong.values.items()}
    return sentence(context.texts, wrong.message_id, values)


async def _refuse(context: Context, situation: Situation, markdown: str) -> None:
    """Say what is wrong, and ask again; nothing given is lost."""
    await close(context, situation.draft, context.texts("answered.again"))
    await context.refuse(Text(markdown=markdown, tone="warning"))
    await go_on(context, situation, step=_here(situation))


async def _control(context: Context, situation: Situation, step: str, control: Control) -> None:
    if control is Control.CANCEL:
        await _cancel(context, situation)
    elif control is Control.START:
        await close(context, situation.draft, context.texts("answered.started"))
        await _start(context, situation)
    elif control is Control.BACK:
        await _back(context, situation, step)
    elif control is Control.WHAT:
        await _explain(context, situation, step)
    elif control is Control.CHANGE and situation.data and situation.model:
        await close(context, situation.draft, context.texts("answered.again"))
        await go_on(context, situation, step=FORM)
    elif control is Control.SKIP or (control is Control.DONE and step in {FORM, "base_model", "preset"}):
        await _skip(context, situation, step)
    else:
        await _answer(context, situation, step, context.turn.text)


async def _cancel(context: Context, situation: Situation) -> None:
    await close(context, situation.draft, context.texts("answered.cancelled"))
    write_draft(context.thread, None)
    text = context.texts
    choices = general.starters(context.thread.language)
    if situation.data:
        again = Choice(say=f"/finetune dataset={situation.data.name}", label=text("cancelled.again"), style="primary")
        choices = (again, *choices[2:])
    await context.reply(Text(markdown=text("cancelled"), choices=choices))


async def _back(context: Context, situation: Situation, step: str) -> None:
    previous = previous_step(situation, step)
    if previous is None:
        await _refuse(context, situation, context.texts("back.first"))
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
        await _refuse(context, situation, wrong_sentence(context.texts, wrong))
        return
    except Uncountable as trouble:
        await _refuse(context, situation, sentence(context.texts, trouble.message_id, trouble.values))
        return
    await _went(context, situation, step, taken)


async def _explain(context: Context, situation: Situation, topic: str) -> None:
    """What a question or a parameter is about; then the open question again."""
    text = context.texts
    if topic in PARAMETERS:
        markdown = f"**{label(text, topic)}**: {text(f'parameter.{topic}.why')}"
    elif topic.startswith("fill."):
        markdown = text("what.fill")
    else:
        markdown = text(f"what.{topic}")
    await close(context, situation.draft, text("answered.again"))
    await context.reply(Text(markdown=markdown))
    await go_on(context, situation, step=_here(situation))


async def _submit(context: Context, situation: Situation) -> None:
    """The form came back: fields that are wrong are shown with their errors, the others are kept."""
    answers = dict(context.turn.answers or {})
    if situation.data is None or situation.model is None:
        await general.say_closed(context)
        return
    try:
        proposal = await propose(context, situation)
    except Uncountable as trouble:
        await _refuse(context, situation, sentence(context.texts, trouble.message_id, trouble.values))
        return
    after = situation
    errors: dict[str, str] = {}
    for edit in form_edits(proposal, situation, answers):
        try:
            after = await apply_edit(context, after, edit)
        except (Wrong, InvalidValue) as wrong:
            errors[edit.name] = _sentence_of(context, wrong)
    if errors:
        key = situation.draft.open_key if situation.draft.open == FORM else f"form:{context.turn.event_id}"
        await context.refuse(plan_form(context.texts, after, proposal, key=key, typed=answers, errors=errors))
        write_draft(context.thread, after.draft.changed(open=FORM, open_key=key))
        return
    await close(context, situation.draft, context.texts("answered.again"))
    await go_on(context, after)


async def _start(context: Context, situation: Situation, *, shows_data: bool = False) -> None:
    """Start with what is recommended for the rest; what must be asked is said and asked, and nothing starts."""
    missing = [step for step in situation.steps() if not situation.is_answered(step)]
    must = [step for step in missing if step not in {"base_model", "preset"}]
    if must or situation.model is None:
        step = must[0] if must else "base_model"
        names = context.texts.joined([label(context.texts, name) for name in must or ["base_model"]])
        if shows_data and situation.data:
            await go_on_with_reason(context, situation, step, names)
            return
        await context.refuse(Text(markdown=context.texts("start.missing", names=names), tone="warning"))
        await go_on(context, situation, step=step)
        return
    if context.has_failed:
        # Something of this very line was wrong: what would start is not what was asked for.
        await go_on(context, situation, step=REVIEW if not missing else None, shows_data=shows_data)
        return
    try:
        await _start_complete(context, situation, shows_data=shows_data)
    except Uncountable as trouble:
        reason = sentence(context.texts, trouble.message_id, trouble.values)
        await context.refuse(Text(markdown=reason, tone="bad"))
        await ask(context, situation.with_draft(situation.draft.changed(base_model=None)), "base_model")


async def go_on_with_reason(context: Context, situation: Situation, step: str, names: str) -> None:
    """The card first, then why nothing started, then the question."""
    from bot.dialogs.dataset import dataset_card

    if situation.data:
        await context.reply(await dataset_card(context, situation.data))
    await context.refuse(Text(markdown=context.texts("start.missing", names=names), tone="warning"))
    await go_on(context, situation, step=step)


async def _start_complete(context: Context, situation: Situation, *, shows_data: bool) -> None:
    from bot.dialogs.dataset import dataset_card

    model, data = situation.model, situation.data
    if model is None or data is None:
        raise LookupError("a data set and a base model come first")
    draft = situation.draft.changed(base_model=model.name)
    if draft.preset is None:
        recommended = (await foresee(context, situation.with_draft(draft))).recommended
        draft = draft.changed(preset=recommended.value)
    situation = situation.with_draft(draft)
    proposal = await propose(context, situation)
    if shows_data:
        await context.reply(await dataset_card(context, data))
    if proposal.is_refused:
        lines = [caution(context.texts, finding).text for finding in proposal.refusals]
        await context.refuse(
            Text(markdown=context.texts("start.refused") + "\n" + "\n".join(f"- {line}" for line in lines), tone="bad")
        )
        await ask(context, situation, REVIEW)
        return
    if situation.draft.open != REVIEW:
        key = f"review:{context.turn.event_id}"
        await context.reply(review_card(context.texts, situation, proposal, key=key, is_open=False))
    await start_run(context, data, model, situation, proposal)
    write_draft(context.thread, None)
