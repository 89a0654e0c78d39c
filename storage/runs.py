"""Runs, their attempts and their curves."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Attempt, Experiment, Json, Progress, Run, new_id, now
from storage.names import free_name
from storage.states import FINAL_RUN_STATES, RunState, may_follow


async def create_run(session: AsyncSession, *, experiment_name: str, plan: Json, run: Run) -> Run:
    """Add an experiment with its one ``run``, queued; taken names get a number. A run without a name takes its name."""
    experiment = Experiment(id=new_id(), name=await free_name(session, Experiment.name, experiment_name), plan=plan)
    session.add(experiment)
    await session.flush()
    run.id = run.id or new_id()
    run.experiment_id = experiment.id
    run.name = await free_name(session, Run.name, run.name or experiment.name)
    session.add(run)
    await session.flush()
    return run


async def get_run(session: AsyncSession, run_id: str) -> Run | None:
    """The run as it is now."""
    return await session.get(Run, run_id, populate_existing=True)


async def find_run(session: AsyncSession, name: str) -> Run | None:
    """The run of that name, also one that should be gone."""
    return await session.scalar(select(Run).where(Run.name == name))


async def recent_runs(session: AsyncSession, *, limit: int = 30) -> Sequence[Run]:
    """The newest runs, newest first, without those that should be gone."""
    query = select(Run).where(Run.deletion_wanted_at.is_(None)).order_by(Run.created_at.desc(), Run.name).limit(limit)
    return (await session.scalars(query)).all()


async def newest_run_of(session: AsyncSession, thread_id: str) -> Run | None:
    """The run that a thread means when it names none."""
    query = select(Run).where(Run.thread_id == thread_id, Run.deletion_wanted_at.is_(None))
    return await session.scalar(query.order_by(Run.created_at.desc()).limit(1))


async def unfinished_runs(session: AsyncSession) -> Sequence[Run]:
    """All runs that are not at their end, oldest first."""
    query = select(Run).where(Run.state.not_in(FINAL_RUN_STATES)).order_by(Run.created_at, Run.id)
    return (await session.scalars(query)).all()


async def change_state(
    session: AsyncSession,
    run: Run,
    state: RunState,
    *,
    reason: str | None = None,
    detail: str | None = None,
) -> bool:
    """The one way in which a run's state changes; False where it does not (it is so already, or was final)."""
    if not may_follow(run.state, state):
        return False
    run.state = state
    if state is RunState.RUNNING and run.started_at is None:
        run.started_at = now()
    if state.is_final:
        run.finished_at = now()
        run.reason, run.detail = reason, detail
    await session.flush()
    return True


async def newest_attempt(session: AsyncSession, run_id: str) -> Attempt | None:
    """The run's last submission."""
    query = select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.number.desc()).limit(1)
    return await session.scalar(query)


async def attempts_of(session: AsyncSession, run_id: str) -> Sequence[Attempt]:
    """The run's submissions, the last first."""
    query = select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.number.desc())
    return (await session.scalars(query)).all()


async def begin_attempt(session: AsyncSession, run_id: str) -> Attempt:
    """The attempt to submit: the newest one as long as it has not ended, else the next."""
    newest = await newest_attempt(session, run_id)
    if newest is not None and not newest.state.is_final:
        return newest
    attempt = Attempt(run_id=run_id, number=newest.number + 1 if newest else 1, state=RunState.QUEUED)
    session.add(attempt)
    await session.flush()
    return attempt


def note_attempt(attempt: Attempt, state: RunState, *, reason: str | None = None) -> None:
    """What was found of an attempt; a final state stays."""
    if may_follow(attempt.state, state):
        attempt.state = state
        attempt.reason = reason
        attempt.finished_at = now() if state.is_final else None


class CurvePoint(Protocol):
    """What is kept of a point: ``training.runs.Point`` is one."""

    @property
    def step(self) -> int:
        """The optimizer step, from 1."""

    @property
    def training_loss(self) -> float | None:
        """Of this step's batch."""

    @property
    def validation_loss(self) -> float | None:
        """Of the held-back rows."""

    @property
    def learning_rate(self) -> float | None:
        """As it was at this step."""


async def save_points(session: AsyncSession, run_id: str, points: Iterable[CurvePoint]) -> None:
    """Keep points of a run's curves; a step that is there already is replaced."""
    for point in points:
        await session.merge(
            Progress(
                run_id=run_id,
                step=point.step,
                training_loss=point.training_loss,
                validation_loss=point.validation_loss,
                learning_rate=point.learning_rate,
                at=now(),
            )
        )


async def points_of(session: AsyncSession, run_id: str) -> Sequence[Progress]:
    """The points of a run's curves, by step."""
    return (await session.scalars(select(Progress).where(Progress.run_id == run_id).order_by(Progress.step))).all()


async def last_step(session: AsyncSession, run_id: str) -> int:
    """The last step of which a point is kept; 0 where there is none."""
    return await session.scalar(select(func.max(Progress.step)).where(Progress.run_id == run_id)) or 0


async def find_retry(session: AsyncSession, run_id: str) -> Run | None:
    """The newest run that goes on from this one."""
    query = select(Run).where(Run.resumes_from == run_id).order_by(Run.created_at.desc()).limit(1)
    return await session.scalar(query)


async def retry_run(session: AsyncSession, run: Run, *, thread_id: str, user_id: str) -> Run:
    """A new run with the plan of an ended one, from its newest checkpoint."""
    # One that never made a step has no checkpoint of its own: what it began from is the best there is.
    has_begun = await last_step(session, run.id) > 0
    again = Run(
        id=new_id(),
        experiment_id=run.experiment_id,
        name=await free_name(session, Run.name, run.name),
        user_id=user_id,
        thread_id=thread_id,
        dataset_version_id=run.dataset_version_id,
        base_model_id=run.base_model_id,
        spec=run.spec,
        fills=run.fills,
        estimate=run.estimate,
        questions=run.questions,
        deploys=run.deploys,
        place=run.place,
        resumes_from=run.id if has_begun or run.resumes_from is None else run.resumes_from,
        state=RunState.QUEUED,
        stop_wanted=False,
    )
    session.add(again)
    await session.flush()
    return again
