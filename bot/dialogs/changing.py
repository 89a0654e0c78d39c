"""A plan is changed by words, a remedy's button or a form; what cannot be is said, and nothing given is lost."""

from bot.context import Context
from bot.dialogs.asking import REVIEW, close, go_on, show_data
from bot.dialogs.edits import Edited, apply_edit, apply_edits, placeholder_pairs
from bot.dialogs.form import FORM, form_edits, plan_form
from bot.dialogs.review import propose
from bot.dialogs.situation import Situation, Wrong
from bot.dialogs.start import start
from bot.dialogs.wording import invalid_sentence, label, quoted, sentence, shown_value
from bot.draft import write_draft
from bot.lexicon import fold
from bot.phrases import Reading, Unknown, read_edits
from bot.replies import Notice, Text
from bot.vocabulary import vocabulary
from training.presets import Preset
from training.spec import PARAMETERS, InvalidValue

LONGEST_READ = 4000
"""Characters of a message that are looked at for edits; a plan as text is far shorter."""
MOST_COMPLAINTS = 5
"""Of things not understood that are listed one by one."""


def read(text: str, situation: Situation) -> Reading:
    """The edits that ``text`` makes; ``name=Nova`` fills a placeholder of the plan's data."""
    return read_edits(text[:LONGEST_READ], vocabulary(), placeholder_pairs(situation))


async def edit(context: Context, situation: Situation, text: str, *, otherwise: Wrong | None = None) -> None:
    """Take ``text`` as edits; where it holds none, say what is ``otherwise`` wrong and ask again."""
    reading = read(text, situation)
    if not reading.edits:
        nearest = next((words.nearest for words in reading.unknown if words.nearest and "=" in fold(words.text)), None)
        wrong = otherwise or Wrong("answer.unknown", text=text)
        if nearest:
            wrong = Wrong("edit.unknown.nearest", text=text, nearest=nearest)
        await refuse(context, situation, sentence_of(context, wrong))
        return
    edited = await apply_edits(context, situation, reading.edits)
    await _go_on_edited(context, situation, edited, reading.unknown)


async def _go_on_edited(context: Context, before: Situation, edited: Edited, unknown: tuple[Unknown, ...]) -> None:
    """Say what was taken over and what was not, and go on."""
    after = edited.situation
    step = before.draft.open
    is_answered = step in after.steps() and after.is_answered(step) and not before.is_answered(step)
    await close(
        context, before.draft, value_of(context, after, step) if is_answered else context.texts("answered.again")
    )
    await say_wrong(context, edited, unknown)
    await show_data(context, after, before=before)
    if edited.wants_start:
        await start(context, after)
        return
    noted = [name for name in edited.changed if not (is_answered and name == step)]
    if noted:
        await context.reply(Notice(text=context.texts("edit.noted", changes=described(context, after, noted))))
    wants_form = "preset" in edited.changed and after.draft.preset == Preset.CUSTOM and step != REVIEW
    next_step = after.next_step() if is_answered or step == FORM else here(after)
    await go_on(context, after, step=FORM if wants_form and next_step == REVIEW else next_step)


def here(situation: Situation) -> str:
    """The open question, where it still makes sense; else the first that is not answered."""
    step = situation.draft.open
    if step in {REVIEW, FORM}:
        first = situation.next_step()
        return step if first == REVIEW else first
    return step if is_known(situation, step) else situation.next_step()


def is_known(situation: Situation, step: str) -> bool:
    """Whether ``step`` is a question of this plan."""
    if step == "offer":
        return situation.draft.offered_version_id is not None
    return step in {*situation.steps(), REVIEW, FORM}


async def refuse(context: Context, situation: Situation, markdown: str) -> None:
    """Say what is wrong, and ask again; nothing given is lost."""
    await close(context, situation.draft, context.texts("answered.again"))
    await context.refuse(Text(markdown=markdown, tone="warning"))
    await go_on(context, situation, step=here(situation))


async def say_wrong(context: Context, edited: Edited, unknown: tuple[Unknown, ...]) -> None:
    """All that could not be taken over, in one message."""
    text = context.texts
    sentences = [sentence_of(context, wrong) for wrong in edited.wrong]
    for words in unknown:
        written = quoted(words.text)
        if words.nearest and "=" in fold(written):
            sentences.append(text("edit.unknown.nearest", text=written, nearest=words.nearest))
        else:
            sentences.append(text("answer.unknown", text=written))
    if len(sentences) > MOST_COMPLAINTS:
        sentences[MOST_COMPLAINTS - 1 :] = [text("edit.more_wrong", n=len(sentences) - MOST_COMPLAINTS + 1)]
    if sentences:
        lines = sentences if len(sentences) == 1 else [f"- {line}" for line in sentences]
        await context.refuse(Text(markdown="\n".join(lines), tone="warning"))


def sentence_of(context: Context, wrong: Wrong | InvalidValue) -> str:
    """What is wrong with an answer or a value."""
    if isinstance(wrong, InvalidValue):
        return invalid_sentence(context.texts, wrong)
    values = {name: quoted(value) if isinstance(value, str) else value for name, value in wrong.values.items()}
    return sentence(context.texts, wrong.message_id, values)


def described(context: Context, situation: Situation, names: list[str]) -> str:
    """Names with their values now: "learning rate 1e-4, epochs 2"."""
    text = context.texts
    parts = [f"{label(text, name)} {value_of(context, situation, name)}" for name in dict.fromkeys(names)]
    return text.joined(parts)


def value_of(context: Context, situation: Situation, name: str) -> str:
    """What the plan now holds under ``name``."""
    text, draft, data = context.texts, situation.draft, situation.data
    if name in PARAMETERS:
        return shown_value(text, name, draft.values[name])
    if name.startswith("fill."):
        wanted = fold(name.removeprefix("fill."))
        return next((value for known, value in draft.fills.items() if fold(known) == wanted), "")
    return {
        "preset": text(f"preset.{draft.preset}") if draft.preset else "",
        "base_model": draft.base_model or "",
        "place": draft.place or "",
        "experiment": draft.experiment or "",
        "deploys": text("deploys.yes" if draft.deploys else "deploys.no"),
        "bad_rows": text("bad_rows.left_out" if draft.leaves_out_bad_rows else "bad_rows.kept_asking"),
        "dataset": data.name if data else "",
        "dataset_name": data.name if data else "",
    }[name]


async def submit(context: Context, situation: Situation) -> None:
    """The form came back: fields that are wrong are shown with their errors, the others are kept."""
    answers = dict(context.turn.answers or {})
    proposal = await propose(context, situation)
    after = situation
    errors: dict[str, str] = {}
    for change in form_edits(proposal, situation, answers):
        try:
            after = await apply_edit(context, after, change)
        except (Wrong, InvalidValue) as wrong:
            errors[change.name] = sentence_of(context, wrong)
    if not errors:
        await close(context, situation.draft, context.texts("answered.again"))
        await go_on(context, after)
        return
    key = situation.draft.open_key if situation.draft.open == FORM else f"question:{context.turn.event_id}"
    if key != situation.draft.open_key:
        await close(context, situation.draft, context.texts("answered.again"))
    await context.refuse(plan_form(context.texts, after, proposal, key=key, typed=answers, errors=errors))
    write_draft(context.thread, after.draft.changed(open=FORM, open_key=key))
