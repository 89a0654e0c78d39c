"""The catalogue: base models, and what runs made of them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Model, Run, new_id
from storage.names import free_name
from storage.states import ModelKind, ModelState

_IS_THERE = ~select(Run.id).where(Run.id == Model.run_id, Run.deletion_wanted_at.is_not(None)).exists()
"""Of a model whose run is not to be deleted."""


async def add_model(session: AsyncSession, model: Model) -> Model:
    """Add a model; a name that is taken gets a number."""
    model.id = model.id or new_id()
    model.name = await free_name(session, Model.name, model.name)
    session.add(model)
    await session.flush()
    return model


async def find_model(session: AsyncSession, name: str) -> Model | None:
    """The model of that name, unless it should be gone."""
    return await session.scalar(select(Model).where(Model.name == name, _IS_THERE))


async def models_of(session: AsyncSession, kind: ModelKind) -> Sequence[Model]:
    """All models of a kind, oldest first, without those that should be gone."""
    query = select(Model).where(Model.kind == kind, _IS_THERE).order_by(Model.created_at, Model.name)
    return (await session.scalars(query)).all()


async def models_from(session: AsyncSession, sources: Sequence[str]) -> Sequence[Model]:
    """The models with one of these sources."""
    return (await session.scalars(select(Model).where(Model.source.in_(sources)))).all()


async def fetching_models(session: AsyncSession) -> Sequence[Model]:
    """What is to be fetched, oldest first."""
    query = select(Model).where(Model.state == ModelState.FETCHING).order_by(Model.created_at, Model.name)
    return (await session.scalars(query)).all()


async def model_of_run(session: AsyncSession, run_id: str) -> Model | None:
    """What a run made, once it is in the catalogue."""
    return await session.scalar(select(Model).where(Model.run_id == run_id))


async def newest_model_of(session: AsyncSession, thread_id: str) -> Model | None:
    """The last model that a run of this thread made."""
    query = (
        select(Model)
        .join(Run, Run.id == Model.run_id)
        .where(Run.thread_id == thread_id, Run.deletion_wanted_at.is_(None))
        .order_by(Model.created_at.desc())
        .limit(1)
    )
    return await session.scalar(query)
