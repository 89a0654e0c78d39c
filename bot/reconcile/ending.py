"""How a run ends: looked at outside the transaction, written inside one."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import run_card, run_key
from bot.reconcile.deploying import serve
from bot.reconcile.live import say_if_changed, say_once
from bot.reconcile.outcome import inspect_outcome, take_in
from bot.replies import Notice
from bot.texts import texts
from bot.world import World
from storage.artifact_errors import Incomplete
from storage.models import Json, Model, Run, Thread
from storage.runs import change_state
from storage.states import RunState
from storage.threads import find_message
from training.adapters import AdapterProblem
from training.checkpoints import CheckpointError
from training.runs import AttemptId, AttemptStatus, Reason

MOST_ATTEMPTS = 3
"""Of a run whose processes are lost again and again."""

LINES_ON_CARD = 5


@dataclass(frozen=True, kw_only=True)
class End:
    """An attempt's end, with what was found in its files."""

    status: AttemptStatus
    facts: Json | None = None
    """Of the model that it made."""
    log_lines: tuple[str, ...] = ()

    @property
    def is_lost(self) -> bool:
        """Whether the gang is to be submitted again."""
        return self.status.reason is not None and self.status.reason.is_loss


async def look_at_end(world: World, run: Run, attempt: AttemptId, status: AttemptStatus) -> End | None:
    """What an ended attempt left; None while it goes on.

    Raises ArtifactError where its files cannot be fetched for now.
    """
    if not status.state.is_final:
        return None
    facts = None
    if status.has_model:
        try:
            facts = await inspect_outcome(world, run)
        except (AdapterProblem, CheckpointError, Incomplete) as error:
            status = AttemptStatus(
                state=RunState.FAILED, progress=status.progress, reason=Reason.BUG, detail=str(error)
            )
    elif status.state is RunState.SUCCEEDED:
        status = AttemptStatus(state=RunState.FAILED, progress=status.progress, reason=Reason.NO_MODEL)
    lines: tuple[str, ...] = ()
    if status.state is RunState.FAILED:
        lines = tuple(await asyncio.to_thread(lambda: list(world.runs.logs(attempt, last_lines=LINES_ON_CARD))))
    return End(status=status, facts=facts, log_lines=lines)


async def end_run(session: AsyncSession, world: World, run: Run, attempt: AttemptId, end: End) -> list[str]:
    """Write the end of a run, or send it back to the queue; returns the ids of what is to be shown."""
    if end.is_lost and attempt.number < MOST_ATTEMPTS and not run.stop_wanted:
        await change_state(session, run, RunState.QUEUED)
        return await _say(session, run, attempt, end)
    status = end.status
    if not await change_state(session, run, status.state, reason=status.reason, detail=status.detail):
        return []
    asked: list[str] = []
    if status.state is RunState.SUCCEEDED and end.facts is not None:
        model = await take_in(session, run, end.facts)
        if run.deploys:
            thread = await session.get(Thread, run.thread_id) if run.thread_id else None
            _, asked = await serve(session, world, model, run, thread=thread)
    return await _say(session, run, attempt, end) + asked


async def _say(session: AsyncSession, run: Run, attempt: AttemptId, end: End) -> list[str]:
    thread = await session.get(Thread, run.thread_id) if run.thread_id else None
    if thread is None:
        return []
    base = await session.get_one(Model, run.base_model_id)
    card = run_card(
        texts(thread.language),
        run,
        progress=end.status.progress,
        base_name=base.name,
        attempt=attempt.number,
        can_keep=run.state is RunState.CANCELLED and end.facts is not None,
        log_lines=end.log_lines,
    )
    shown = await say_if_changed(session, thread, card)
    return shown + await _point_at_card(session, thread, run)


async def _point_at_card(session: AsyncSession, thread: Thread, run: Run) -> list[str]:
    """Below a longer talk, say that the card above has changed: nobody looks up there."""
    message = await find_message(session, thread.id, run_key(run.id))
    is_last = message is None or message.position == thread.messages_count - 1
    if is_last or not run.state.is_final or run.state is RunState.SUCCEEDED:
        return []
    text = texts(thread.language)(f"run.ended.{run.state}", name=run.name)
    return await say_once(session, thread, Notice(text=text, key=f"ended:{run.id}"))
