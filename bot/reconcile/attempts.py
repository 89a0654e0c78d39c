"""A run's rows -> the attempt that a backend starts."""

from sqlalchemy.ext.asyncio import AsyncSession

from bot.reconcile.outcome import model_key
from bot.world import World
from storage.models import DatasetVersion, Experiment, Model, Run, User
from storage.runs import begin_attempt
from storage.states import ModelState
from training.datasets import DatasetReport
from training.runs import Attempt, AttemptId
from training.spec import TrainingSpec


class NotYetError(Exception):
    """The run cannot be submitted now: its base model is still being fetched."""

    def __init__(self, base_name: str) -> None:
        super().__init__(base_name)
        self.base_name = base_name


async def build_attempt(session: AsyncSession, world: World, run: Run) -> Attempt:
    """The attempt to submit, its row written: the same one again until it has ended. Raises NotYetError."""
    base = await session.get_one(Model, run.base_model_id)
    if base.state is ModelState.FETCHING:
        raise NotYetError(base.name)
    version = await session.get_one(DatasetVersion, run.dataset_version_id)
    report = DatasetReport.from_json(version.report)
    row = await begin_attempt(session, run.id)
    return Attempt(
        id=AttemptId(run.id, row.number),
        spec=TrainingSpec.model_validate(run.spec),
        base_model=base.source,
        dataset=version.artifact,
        columns=report.columns,
        fills=run.fills,
        excluded_lines=report.bad_lines,
        model=model_key(run.id),
        resumes_from=run.resumes_from,
        place=run.place,
        about=await _about(session, run),
    )


async def _about(session: AsyncSession, run: Run) -> dict[str, str]:
    experiment = await session.get_one(Experiment, run.experiment_id)
    owner = await session.get_one(User, run.user_id)
    return {"experiment": experiment.name, "task": run.name, "owner": owner.name}
