"""Asking: one question is open at a time; the one before it is closed in its place."""

from dataclasses import replace
from uuid import uuid4

from bot.context import Context
from bot.dialogs.dataset import dataset_card
from bot.dialogs.form import FORM, plan_form
from bot.dialogs.questions import build_question
from bot.dialogs.review import propose, review_card
from bot.dialogs.situation import Situation
from bot.dialogs.wording import sentence
from bot.draft import Draft, write_draft
from bot.facts import Uncountable
from bot.replies import BODIES, Form, Question, Reply, Review, Said, Text
from storage.threads import find_message

REVIEW = "review"


async def show_data(context: Context, situation: Situation, *, before: Situation | None = None) -> None:
    """Show the plan's data set, where it is another one than ``before``. Raises NeedsWork."""
    data = situation.data
    if data and not (before and before.data and before.data.version.id == data.version.id):
        await context.reply(await dataset_card(context, data))


async def go_on(context: Context, situation: Situation, *, step: str | None = None) -> None:
    """Ask what comes next (or ``step``). A base model that cannot learn from this data is said, and asked for again."""
    try:
        await ask(context, situation, step or situation.next_step())
    except Uncountable as trouble:
        reason = sentence(context.texts, trouble.message_id, trouble.values)
        name = situation.model.name if situation.model else ""
        await context.refuse(Text(markdown=context.texts("base_model.unusable", name=name, reason=reason), tone="bad"))
        await ask(context, situation.with_draft(situation.draft.changed(base_model=None)), "base_model")


async def ask(context: Context, situation: Situation, step: str) -> None:
    """Ask ``step`` in a new message and keep the draft. Raises NeedsWork, Uncountable."""
    key = f"question:{uuid4().hex[:12]}"
    await context.reply(await build(context, situation, step, key))
    write_draft(context.thread, situation.draft.changed(open=step, open_key=key))
    entitle(context, situation)


def entitle(context: Context, situation: Situation) -> None:
    """Name a thread that began with a command by the data that it is about."""
    if situation.data and context.thread.title.startswith("/"):
        context.thread.title = situation.data.version.file_name


async def build(context: Context, situation: Situation, step: str, key: str) -> Reply:
    """What asks ``step``: a question, the form or the review."""
    if step == REVIEW:
        return review_card(context.texts, situation, await propose(context, situation), key=key)
    if step == FORM:
        return plan_form(context.texts, situation, await propose(context, situation), key=key)
    return await build_question(context, situation, step, key)


async def close(context: Context, draft: Draft, answered: str) -> None:
    """Show the open question as answered: what it was answered with stands in place of its buttons."""
    await close_message(context, draft.open_key, answered)


async def close_message(context: Context, key: str, answered: str) -> None:
    """Show the question, form or review of that key as answered."""
    message = await find_message(context.session, context.thread.id, key) if key else None
    if message is None:
        return
    body = BODIES.validate_python(message.body)
    if not isinstance(body, Said) and (closed := _closed(body, answered)) != body:
        await context.reply(closed)


def _closed(body: Reply, answered: str) -> Reply:
    if isinstance(body, Question):
        return body if body.answered is not None else replace(body, answered=answered)
    if isinstance(body, Review):
        warnings = tuple(replace(warning, remedy=None) for warning in body.warnings)
        return replace(body, choices=(), warnings=warnings)
    if isinstance(body, Form):
        return replace(body, is_submitted=True)
    return body
