"""Runs: listed, looked at, stopped, tried again."""

import asyncio
from dataclasses import replace

from sqlalchemy import select

from bot.cards import reason_text, run_card, run_status
from bot.commands import Request
from bot.context import Context, NeedsWork
from bot.dialogs.finding import say_no_such
from bot.reconcile.outcome import model_key
from bot.replies import Choice, Item, Listing, Log, Notice, Text, Tone
from bot.world import World
from storage.catalogue import model_of_run
from storage.models import Model, Run
from storage.runs import create_run, find_run, newest_attempt, newest_run_of, points_of, recent_runs
from storage.states import RunState
from training.runs import AttemptId, AttemptProgress, Point

LOG_LINES = 40
MOST_LOG_LINES = 500
WORDS_FOR_ANSWER = frozenset({"answer", "回答"})


async def list_(context: Context, _: Request) -> None:
    """``/runs``: all of them, the newest first."""
    text = context.texts
    runs = await recent_runs(context.session)
    items = []
    for run in runs:
        base = await context.session.get_one(Model, run.base_model_id)
        choices = [Choice(say=f"/status {run.name}", label=text("run.choice.status"))]
        if not run.state.is_final:
            choices.append(Choice(say=f"/stop {run.name}", label=text("run.choice.stop"), style="danger"))
        items.append(
            Item(
                title=run.name,
                detail=text("run.listed", base=base.name, time=text.time(run.created_at)),
                status=run_status(text, run),
                tone=_TONES.get(run.state, "plain"),
                choices=tuple(choices),
            )
        )
    begin = Choice(say="/finetune", label=text("starter.finetune"), style="primary")
    await context.reply(
        Listing(title=text("runs.title"), items=tuple(items), empty=text("runs.empty"), choices=() if items else (begin,))
    )


_TONES: dict[RunState, Tone] = {
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "warning",
}


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


async def logs(context: Context, request: Request) -> None:
    """``/logs [RUN] [LINES]``: the end of what the training printed."""
    words = request.arguments.split()
    lines = int(words.pop()) if words and words[-1].isdecimal() else LOG_LINES
    run = await _find(context, " ".join(words), "logs")
    if run is None:
        return
    attempt = await newest_attempt(context.session, run.id)
    key = f"log:{context.turn.event_id}"
    title = context.texts("logs.title", name=run.name)
    if attempt is None:
        await context.reply(Notice(text=context.texts("logs.none", name=run.name)))
        return
    # Reading the log takes its time: it is shown once it is read.
    await context.reply(Log(title=title, text=context.texts("logs.reading"), key=key))
    wanted = AttemptId(run.id, attempt.number)
    empty, thread_id, count = context.texts("logs.empty"), context.thread.id, max(1, min(lines, MOST_LOG_LINES))

    async def show() -> bool:
        found = await asyncio.to_thread(lambda: list(context.world.runs.logs(wanted, last_lines=count)))
        await context.say_later(thread_id, Log(title=title, text="\n".join(found) or empty, key=key))
        return True

    context.afterwards.append(show)
