"""What becomes of an ended run: a model of the catalogue, and the wish to serve it."""

import asyncio
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncSession

from bot.world import World
from storage.catalogue import add_model, model_of_run
from storage.models import DatasetVersion, Json, Model, Run
from storage.states import ModelKind, ModelState
from training.adapters import inspect_adapter
from training.checkpoints import inspect_checkpoint
from training.datasets import DatasetReport
from training.datasets.placeholders import fill


def model_key(run_id: str) -> str:
    """The artifact folder of what a run makes. The model's id is the run's: a run makes one model, however often
    the making is repeated."""
    return f"models/{run_id}"


def folders_of(run_id: str) -> tuple[str, str]:
    """The artifact folders of all that a run leaves: its attempts and checkpoints, and its model."""
    return f"runs/{run_id}", model_key(run_id)


async def inspect_outcome(world: World, run: Run) -> Json:
    """The facts of what a run made, read beside the event loop. Raises AdapterProblem, CheckpointError,
    ArtifactError."""
    folder = await world.artifacts.fetch(model_key(run.id))
    if run.spec["method"] == "lora":
        return (await asyncio.to_thread(inspect_adapter, folder)).to_json()
    return dict((await asyncio.to_thread(inspect_checkpoint, folder)).to_json())


async def take_in(session: AsyncSession, run: Run, facts: Json) -> Model:
    """The model that a run made, with its lineage; the one that is there already, if there is one."""
    model = await model_of_run(session, run.id)
    if model is not None:
        return model
    version = await session.get_one(DatasetVersion, run.dataset_version_id)
    return await add_model(
        session,
        Model(
            id=run.id,
            name=run.name,
            kind=ModelKind.TUNED,
            state=ModelState.READY,
            source=f"artifact:{model_key(run.id)}",
            facts=facts,
            base_model_id=run.base_model_id,
            run_id=run.id,
            system_prompt=_system_prompt(version, run),
        ),
    )


def _system_prompt(version: DatasetVersion, run: Run) -> str | None:
    """The one of the data, as it was trained."""
    prompt = DatasetReport.from_json(version.report).system_prompt
    if prompt is not None:
        # A placeholder without a fill was trained as it stands.
        with suppress(KeyError):
            return fill(prompt, run.fills)
    return prompt
