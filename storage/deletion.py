"""Runs that should be gone: what stands in the way of the wish, and the rows that go at last."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Attempt, Experiment, Host, Message, Model, Run, Service, Thread, now
from storage.services import services_of_model
from storage.states import FINAL_RUN_STATES, HostState, ServiceState, Wish


async def want_deletion(session: AsyncSession, run: Run) -> None:
    """Wish for an ended run to be gone. Nothing begins from its checkpoint any more, and nobody is asked how to deploy
    its model."""
    run.deletion_wanted_at = run.deletion_wanted_at or now()
    await session.execute(update(Run).where(Run.resumes_from == run.id).values(resumes_from=None))
    model_ids = select(Model.id).where(Model.run_id == run.id)
    asked = await session.scalars(select(Thread).where(Thread.deployment["model_id"].as_string().in_(model_ids)))
    for thread in asked:
        thread.deployment = None
    await session.flush()


async def runs_to_delete(session: AsyncSession) -> Sequence[Run]:
    """The runs that should be gone, the longest wished for first."""
    query = select(Run).where(Run.deletion_wanted_at.is_not(None)).order_by(Run.deletion_wanted_at, Run.id)
    return (await session.scalars(query)).all()


async def is_gone(session: AsyncSession, model_id: str) -> bool:
    """Whether a model has been deleted, or should be."""
    model = await session.get(Model, model_id)
    run = await session.get(Run, model.run_id) if model is not None and model.run_id else None
    return model is None or (run is not None and run.deletion_wanted_at is not None)


async def attempts_of(session: AsyncSession, run_id: str) -> Sequence[int]:
    """The numbers of a run's attempts, the last one first."""
    query = select(Attempt.number).where(Attempt.run_id == run_id).order_by(Attempt.number.desc())
    return (await session.scalars(query)).all()


async def runs_going_on_from(session: AsyncSession, run_id: str) -> Sequence[Run]:
    """The unfinished runs that begin at this one's checkpoint, oldest first."""
    query = select(Run).where(Run.resumes_from == run_id, Run.state.not_in(FINAL_RUN_STATES))
    return (await session.scalars(query.order_by(Run.created_at, Run.name))).all()


async def built_upon(session: AsyncSession, model_id: str) -> Sequence[str]:
    """The names of runs and models that began from this model, whatever became of them."""
    runs = await session.scalars(select(Run.name).where(Run.base_model_id == model_id))
    models = await session.scalars(select(Model.name).where(Model.base_model_id == model_id))
    return sorted({*runs, *models})


async def is_served(session: AsyncSession, model_id: str) -> bool:
    """Whether a model server still has to do with a model: a service that has not ended, a server of its own."""
    services = await services_of_model(session, model_id)
    if any(one.wanted is Wish.UP or one.state is not ServiceState.STOPPED for one in services):
        return True
    hosts = (await session.scalars(select(Host).where(Host.base_model_id == model_id))).all()
    # One that rests has something left in its place.
    return any(host.wanted is Wish.UP or host.state is not HostState.STOPPED or host.is_asleep for host in hosts)


async def threads_told(session: AsyncSession, key: str) -> Sequence[Thread]:
    """The threads that have a message of this key."""
    query = select(Thread).join(Message, Message.thread_id == Thread.id).where(Message.key == key)
    return (await session.scalars(query)).all()


async def forget_run(session: AsyncSession, run: Run) -> None:
    """Delete the rows of a run and of the model that it made, with ended services and servers of that model, and its
    experiment where no other run is of it. Attempts and curves go with the run."""
    model_ids = select(Model.id).where(Model.run_id == run.id)
    host_ids = select(Host.id).where(Host.base_model_id.in_(model_ids))
    for rows in (
        delete(Service).where(Service.model_id.in_(model_ids) | Service.host_id.in_(host_ids)),
        delete(Host).where(Host.base_model_id.in_(model_ids)),
        delete(Model).where(Model.run_id == run.id),
        delete(Run).where(Run.id == run.id),
        delete(Experiment).where(
            Experiment.id == run.experiment_id, ~select(Run.id).where(Run.experiment_id == Experiment.id).exists()
        ),
    ):
        await session.execute(rows, execution_options={"synchronize_session": False})
