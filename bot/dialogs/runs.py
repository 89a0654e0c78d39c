"""Runs: listed, looked at, stopped, tried again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bot.cards import RUN_TONES, reason_text, run_card, run_status
from bot.commands import Request
from bot.context import Context, NeedsWork
from bot.dialogs.finding import say_deleted, say_no_such
from bot.dialogs.rights import may_manage
from bot.reconcile.live import recorded_progress
from bot.reconcile.outcome import model_key
from bot.replies import Choice, Item, Listing, Log, Notice, Text
from bot.texts import Texts
from bot.world import World
from storage.catalogue import model_of_run
from storage.models import Attempt, Model, Run
from storage.runs import attempts_of, find_retry, find_run, newest_attempt, newest_run_of, recent_runs, retry_run
from storage.states import RunState
from storage.threads import open_user
from training.runs import AttemptId, BackendUnavailable

LOG_LINES = 40
MOST_LOG_LINES = 500
WORDS_FOR_ALL = frozenset({"all", "全部", "所有"})
WORDS_FOR_ANSWER = frozenset({"answer", "回答"})


async def list_(context: Context, _: Request) -> None:
    """``/runs``: all of them, the newest first."""
    text = context.texts
    items = tuple([await _item(context, run) for run in await recent_runs(context.session)])
    begin = Choice(say="/finetune", label=text("starter.finetune"), style="primary")
    await context.reply(
        Listing(title=text("runs.title"), items=items, empty=text("runs.empty"), choices=() if items else (begin,))
    )


async def _item(context: Context, run: Run) -> Item:
    text = context.texts
    base = await context.session.get_one(Model, run.base_model_id)
    choices = [Choice(say=f"/status {run.name}", label=text("run.choice.status"))]
    if run.state.is_final:
        choices.append(deletion_choice(text, run))
    else:
        choices.append(Choice(say=f"/stop {run.name}", label=text("run.choice.stop"), style="danger"))
    return Item(
        title=run.name,
        detail=text("run.listed", base=base.name, time=text.time(run.created_at)),
        status=run_status(text, run),
        tone=RUN_TONES.get(run.state, "plain"),
        choices=tuple(choices),
    )


async def status(context: Context, request: Request) -> None:
    """``/status [RUN]``: how it is now, as a card of its own that stays as it is."""
    run = await find_meant(context, request.arguments, "status")
    if run is None:
        return
    base = await context.session.get_one(Model, run.base_model_id)
    attempt = await newest_attempt(context.session, run.id)
    card = run_card(
        context.texts,
        run,
        progress=await recorded_progress(context.session, run),
        base_name=base.name,
        attempt=attempt.number if attempt else 1,
        can_keep=await can_keep(context, run),
    )
    choices = (*card.choices, *([deletion_choice(context.texts, run)] if run.state.is_final else []))
    await context.reply(replace(card, key=None, is_live=False, choices=choices))


def deletion_choice(text: Texts, run: Run) -> Choice:
    """Asks whether an ended run may go."""
    return Choice(say=f"/delete {run.name}", label=text("run.choice.delete"), style="danger")


async def logs(context: Context, request: Request) -> None:
    """``/logs [RUN] [LINES] [all]``: why it ended, if it has, then the end of what the training printed; of every
    machine where all is asked for."""
    words = request.arguments.split()
    wants_all = bool(words) and words[-1].lower() in WORDS_FOR_ALL
    if wants_all:
        words.pop()
    lines = int(words.pop()) if words and words[-1].isdecimal() else LOG_LINES
    run = await find_meant(context, " ".join(words), "logs")
    if run is None:
        return
    attempts = await attempts_of(context.session, run.id)
    if not attempts:
        await context.reply(Notice(text=context.texts("logs.none", name=run.name)))
        return
    machines = int(run.spec.get("nodes", 1)) if wants_all else 1
    context.afterwards.append(partial(_show_logs, context, run, attempts, machines, _bounded(lines)))


def _bounded(lines: int) -> int:
    return max(1, min(lines, MOST_LOG_LINES))


async def _show_logs(context: Context, run: Run, attempts: Sequence[Attempt], machines: int, lines: int) -> bool:
    text = context.texts
    parts = [reason_text(text, run.reason, run.detail)] if run.reason else []
    try:
        shown = await _last_with_log(context.world, attempts)
        if shown is not attempts[0]:
            parts.append(text("logs.attempt", number=shown.number))
            parts += [reason_text(text, shown.reason, None)] if shown.reason else []
        for node in range(machines):
            found = await asyncio.to_thread(_read_log, context.world, AttemptId(run.id, shown.number), lines, node)
            parts += [text("logs.machine", number=node + 1, all=machines)] if machines > 1 else []
            parts.append(found or text("logs.empty"))
    except BackendUnavailable as error:
        parts.append(text("logs.unavailable", problem=str(error)))
    title = text("logs.title", name=run.name)
    await context.speaking.tell(context.thread.id, Log(title=title, text="\n\n".join(parts)))
    return True


async def _last_with_log(world: World, attempts: Sequence[Attempt]) -> Attempt:
    """After a loss the next attempt has printed nothing for a while, and what happened stands in the one before."""
    for attempt in attempts:
        if await asyncio.to_thread(_read_log, world, AttemptId(attempt.run_id, attempt.number), 1, 0):
            return attempt
    return attempts[0]


def _read_log(world: World, attempt: AttemptId, lines: int, node: int) -> str:
    return "\n".join(world.runs.logs(attempt, last_lines=lines, node=node))


async def stop(context: Context, request: Request) -> None:
    """``/stop [RUN]``: save and stop; ``/stop answer``, or answers that are under way here: stop those.

    The button of an answer names it: ``/stop answer ID``.
    """
    name = request.arguments.strip()
    word, _, message_id = name.partition(" ")
    if word.lower() in WORDS_FOR_ANSWER or not name:
        if context.speaking.under_way.stop(context.thread.id, message_id.strip()):
            return
        if name:
            await context.reply(Notice(text=context.texts("stop.no_answer")))
            return
    if not await may_manage(context):
        return
    run = await find_meant(context, name, "stop")
    if run is None:
        return
    if run.state.is_final:
        await context.reply(Notice(text=context.texts("stop.ended", name=run.name)))
        return
    run.stop_wanted = True
    has_begun = run.state is not RunState.QUEUED
    await context.reply(Notice(text=context.texts("stop.stopping" if has_begun else "stop.unbegun", name=run.name)))


async def retry(context: Context, request: Request) -> None:
    """``/retry [RUN]``: a new run with the same plan, which goes on from the newest checkpoint."""
    if not await may_manage(context):
        return
    run = await find_meant(context, request.arguments, "retry")
    if run is None:
        return
    text = context.texts
    if not run.state.is_final:
        await context.refuse(Text(markdown=text("retry.under_way", name=run.name), tone="warning"))
        return
    if run.state is RunState.SUCCEEDED:
        again = Choice(say="/finetune", label=text("starter.finetune"))
        await context.refuse(Text(markdown=text("retry.succeeded", name=run.name), choices=(again,), tone="warning"))
        return
    earlier = await find_retry(context.session, run.id)
    if earlier is not None and not earlier.state.is_final:
        await context.reply(Notice(text=text("retry.already", name=run.name, again=earlier.name)))
        return
    user = await open_user(context.session, context.turn.user.name)
    again_run = await retry_run(context.session, run, thread_id=context.thread.id, user_id=user.id)
    base = await context.session.get_one(Model, run.base_model_id)
    await context.reply(run_card(text, again_run, base_name=base.name))


async def can_keep(context: Context, run: Run) -> bool:
    """Whether a stopped run saved something that is not in the catalogue yet."""
    if run.state is not RunState.CANCELLED or await model_of_run(context.session, run.id) is not None:
        return False
    if run.id not in _HAS_MODEL:
        raise NeedsWork(partial(_look_for_model, run.id))
    return _HAS_MODEL[run.id]


_HAS_MODEL: dict[str, bool] = {}
"""Stopped run -> whether it saved a model. A bucket must not be asked inside a transaction, and one look is enough."""


async def _look_for_model(run_id: str, world: World) -> None:
    _HAS_MODEL[run_id] = await world.artifacts.is_complete(model_key(run_id))


async def find_meant(context: Context, name: str, command: str) -> Run | None:
    """The run of that name; without one, the thread's newest, else the newest of all. None: it has been said."""
    name = name.strip()
    recent = await recent_runs(context.session)
    if name:
        run = await find_run(context.session, name)
        if run is None:
            await say_no_such(context, "run", name, [run.name for run in recent], command=command)
        elif run.deletion_wanted_at is not None:
            await say_deleted(context, name)
            return None
        return run
    run = await newest_run_of(context.session, context.thread.id) or next(iter(recent), None)
    if run is None:
        begin = Choice(say="/finetune", label=context.texts("starter.finetune"), style="primary")
        await context.reply(Text(markdown=context.texts("runs.empty"), choices=(begin,)))
    return run
