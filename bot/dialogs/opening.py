"""How a plan begins: a file, ``/finetune``, or everything in one line; and a file in the middle of a plan."""

import re

from bot.commands import Request
from bot.context import Context
from bot.dialogs.asking import ask, close, go_on, show_data
from bot.dialogs.changing import edit, here, read, say_wrong
from bot.dialogs.dataset import accepted_files
from bot.dialogs.deploy_steps import put_aside
from bot.dialogs.edits import Edited, apply_edits
from bot.dialogs.examples import EXAMPLE, example_version
from bot.dialogs.situation import Situation, load
from bot.dialogs.start import start
from bot.dialogs.wording import quoted
from bot.draft import Draft, read_draft
from bot.ingest import Ingested
from bot.phrases import Edit, Unknown
from bot.replies import Notice


async def begin(context: Context, request: Request) -> None:
    """``/finetune`` with anything after it, or a dropped file with or without words."""
    await put_aside(context)
    draft = read_draft(context.thread)
    files = await accepted_files(context, request.files)
    is_command = context.turn.text.startswith("/")
    named, words = _named_dataset(request.arguments if is_command else context.turn.text)
    if request.files and not files:
        await ask_again(context)
    elif draft and files and not is_command:
        await _use_or_offer(context, draft, files[0])
    elif draft and not files and not named:
        if words:
            await edit(context, await load(context, draft), words)
        else:
            await context.reply(Notice(text=context.texts("opening.still_open")))
            await ask_again(context)
    else:
        if draft:
            await close(context, draft, context.texts("answered.cancelled"))
        await _begin_anew(context, files[0] if files else None, named, words)
    for other in files[1:]:
        await context.reply(Notice(text=context.texts("files.one_at_a_time", name=quoted(other.file_name))))


async def ask_again(context: Context) -> None:
    """Ask the open question once more, in the thread's present language; nothing where none is open."""
    draft = read_draft(context.thread)
    if draft:
        situation = await load(context, draft)
        await close(context, draft, context.texts("answered.again"))
        await go_on(context, situation, step=here(situation))


def _named_dataset(words: str) -> tuple[str | None, str]:
    """The ``@name`` in a line, and the line without it."""
    found = re.search(r"(?:^|\s)@(\S+)", words)
    if not found:
        return None, words.strip()
    return found[1], (words[: found.start()] + " " + words[found.end() :]).strip()


async def _begin_anew(context: Context, file: Ingested | None, named: str | None, words: str) -> None:
    situation = await load(context, Draft(version_id=file.version_id if file else None))
    edited, unknown = await _all_in_one(context, situation, None if file else named, words)
    await say_wrong(context, edited, unknown)
    await show_data(context, edited.situation)
    if edited.wants_start:
        await start(context, edited.situation)
    else:
        await go_on(context, edited.situation)


async def _all_in_one(
    context: Context, situation: Situation, named: str | None, words: str
) -> tuple[Edited, tuple[Unknown, ...]]:
    """Everything that one line says. The data set goes first: fills are checked against it."""
    if named and f"@{named}" == EXAMPLE:
        situation = await load(context, Draft(version_id=await example_version(context)))
        named = None
    data = [Edit(name="dataset", text=named)] if named else []
    data += [change for change in read(words, situation).edits if change.name == "dataset"]
    first = await apply_edits(context, situation, data)
    reading = read(words, first.situation)
    rest = await apply_edits(context, first.situation, [change for change in reading.edits if change.name != "dataset"])
    edited = Edited(
        situation=rest.situation,
        changed=(*first.changed, *rest.changed),
        wrong=(*first.wrong, *rest.wrong),
        wants_start=rest.wants_start,
    )
    return edited, reading.unknown


async def _use_or_offer(context: Context, draft: Draft, file: Ingested) -> None:
    """A file in the middle of a plan: it takes the place of the present one, or is offered to."""
    situation = await load(context, draft)
    if situation.data and situation.data.version.id == file.version_id:
        await context.reply(Notice(text=context.texts("file.same")))
        await ask_again(context)
    elif situation.data and draft.has_answers:
        await close(context, draft, context.texts("answered.again"))
        await ask(context, situation.with_draft(draft.changed(offered_version_id=file.version_id)), "offer")
    else:
        await close(context, draft, quoted(file.file_name))
        changed = await load(context, draft.changed(version_id=file.version_id, leaves_out_bad_rows=False))
        await show_data(context, changed)
        await go_on(context, changed)
