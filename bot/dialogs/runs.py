"""Runs: listed, looked at, stopped, tried again."""

import asyncio
from dataclasses import replace

from bot.cards import RUN_TONES, run_card, run_status
from bot.commands import Request
from bot.context import Context
from bot.dialogs.finding import say_no_such
from bot.reconcile.outcome import model_key
from bot.replies import Choice, Item, Listing, Log, Notice, Text
from storage.catalogue import model_of_run
from storage.models import Model, Run
from storage.runs import find_retry, find_run, newest_attempt, newest_run_of, points_of, recent_runs, retry_run
from storage.states import RunState
from training.runs import AttemptId, AttemptProgress, Point

LOG_LINES = 40
MOST_LOG_LINES = 500
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
    if not run.state.is_final:
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
    run = await _find(context, request.arguments, "status")
    if run is None:
        return
    base = await context.session.get_one(Model, run.base_model_id)
    attempt = await newest_attempt(context.session, run.id)
    card = run_card(
        context.texts,
        run,
        progress=await _progress(context, run),
        base_name=base.name,
        attempt=attempt.number if attempt else 1,
        can_keep=await can_keep(context, run),
    )
    await context.reply(replace(card, key=None, is_live=False))


async def logs(context: Context, request: Request) -> None:
    """``/logs [RUN] [LINES]``: the end of what the training printed."""
    words = request.arguments.split()
    lines = int(words.pop()) if words and words[-1].isdecimal() else LOG_LINES
    run = await _find(context, " ".join(words), "logs")
    if run is None:
        return
    attempt = await newest_attempt(context.session, run.id)
    if attempt is None:
        await context.reply(Notice(text=context.texts("logs.none", name=run.name)))
        return
    wanted = AttemptId(run.id, attempt.number)
    title, empty = context.texts("logs.title", name=run.name), context.texts("logs.empty")
    count, thread_id = max(1, min(lines, MOST_LOG_LINES)), context.thread.id

    async def show() -> bool:
        found = await asyncio.to_thread(lambda: list(context.world.runs.logs(wanted, last_lines=count)))
        await context.speaking.tell(thread_id, Log(title=title, text="\n".join(found) or empty))
        return True

    context.afterwards.append(show)


async def stop(context: Context, request: Request) -> None:
    """``/stop [RUN]``: save and stop; ``/stop answer``, or an answer that streams here: stop that."""
    name = request.arguments.strip()
    if name.lower() in WORDS_FOR_ANSWER or not name:
        if context.speaking.stop(context.thread.id):
            return
        if name:
            await context.reply(Notice(text=context.texts("stop.no_answer")))
            return
    run = await _find(context, name, "stop")
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
    run = await _find(context, request.arguments, "retry")
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
    again_run = await retry_run(context.session, run, thread_id=context.thread.id)
    base = await context.session.get_one(Model, run.base_model_id)
    await context.reply(run_card(text, again_run, base_name=base.name))


async def can_keep(context: Context, run: Run) -> bool:
    """Whether a stopped run saved something that is not in the catalogue yet."""
    if run.state is not RunState.CANCELLED or await model_of_run(context.session, run.id) is not None:
        return False
    return await context.world.artifacts.is_complete(model_key(run.id))


async def _progress(context: Context, run: Run) -> AttemptProgress:
    points = tuple(
        Point(step=row.step, training_loss=row.training_loss, validation_loss=row.validation_loss)
        for row in await points_of(context.session, run.id)
    )
    step = points[-1].step if points else 0
    return AttemptProgress(step=step, steps=int(run.estimate.get("steps", 0)), points=points)


async def _find(context: Context, name: str, command: str) -> Run | None:
    """The run of that name; without one, the thread's newest, else the newest of all. None: it has been said."""
    name = name.strip()
    recent = await recent_runs(context.session)
    if name:
        run = await find_run(context.session, name)
        if run is None:
            await say_no_such(context, "run", name, [run.name for run in recent], command=command)
        return run
    run = await newest_run_of(context.session, context.thread.id) or next(iter(recent), None)
    if run is None:
        begin = Choice(say="/finetune", label=context.texts("starter.finetune"), style="primary")
        await context.reply(Text(markdown=context.texts("runs.empty"), choices=(begin,)))
    return run
