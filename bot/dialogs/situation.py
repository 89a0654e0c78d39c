"""Everything that a plan's questions look at, loaded once a turn: the draft, its data set, the models that are here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import Context
from bot.draft import Draft
from bot.facts import Counted, find_counted
from bot.world import World
from storage.models import Dataset, DatasetVersion, Experiment, Model, Run
from storage.states import ModelKind, ModelState
from training.checkpoints import CheckpointFacts
from training.datasets import DatasetReport
from training.facts import Facts
from training.machine import Machine
from training.places import ClusterPlace


class Wrong(Exception):
    """An answer that cannot be: the sentence's id, and what stands in it."""

    def __init__(self, message_id: str, **values: Any) -> None:
        super().__init__(message_id)
        self.message_id = message_id
        self.values: Mapping[str, Any] = values


@dataclass(frozen=True, kw_only=True)
class DataInPlan:
    """The data set version that is learned from."""

    name: str
    version: DatasetVersion
    report: DatasetReport


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A draft with the rows that it names."""

    draft: Draft
    data: DataInPlan | None
    models: tuple[Model, ...]
    """Base models that can be tuned, the recommended one first."""
    last_used: str | None
    """The name of the base model of the newest run, where it is still here."""
    world: World
    last_place: str | None = None
    """The place of the newest run that had a choice, where it is still configured."""

    @property
    def model(self) -> Model | None:
        """The base model of the plan; the recommended one while none is chosen."""
        chosen = [model for model in self.models if model.name == self.draft.base_model]
        return next(iter([*chosen, *self.models]), None)

    @property
    def places(self) -> tuple[ClusterPlace, ...]:
        """The places to choose from; none where there is no choice."""
        places = tuple(self.world.places.values())
        return places if len(places) > 1 else ()

    @property
    def place(self) -> str | None:
        """The place of the plan; the recommended one while none is chosen, None where there is no choice."""
        names = [place.name for place in self.places]
        return next((name for name in (self.draft.place, self.last_place, *names) if name in names), None)

    @property
    def machine(self) -> Machine:
        """The one that the plan is made for."""
        return self.world.trainer(self.place)

    def with_draft(self, draft: Draft) -> "Situation":
        """The same rows under a changed draft; for changes of the data set, load again."""
        return replace(self, draft=draft)

    def steps(self) -> tuple[str, ...]:
        """The questions of this plan, in their order; answered ones too."""
        steps = ["dataset"]
        if self.data:
            steps += ["bad_rows"] * bool(self.data.report.bad_rows)
            steps += [f"fill.{name}" for name in self.data.report.placeholders]
        return (*steps, "base_model", *["place"] * bool(self.places), "preset")

    def is_answered(self, step: str) -> bool:
        """Whether the draft holds the answer to a question."""
        draft = self.draft
        if step == "dataset":
            return self.data is not None
        if step == "bad_rows":
            return draft.leaves_out_bad_rows
        if step == "base_model":
            return any(model.name == draft.base_model for model in self.models)
        if step == "place":
            return self.draft.place in self.world.places
        if step == "preset":
            return draft.preset is not None
        return step.removeprefix("fill.") in draft.fills

    def next_step(self) -> str:
        """The first question that is still open; ``review`` when there is none."""
        return next((step for step in self.steps() if not self.is_answered(step)), "review")


async def load(context: Context, draft: Draft) -> Situation:
    """Load what ``draft`` names; a data set that is gone is asked for again."""
    session = context.session
    data = await find_data(session, draft.version_id) if draft.version_id else None
    models = await base_models(session)
    last_used = await session.scalar(
        select(Model.name)
        .join(Run, Run.base_model_id == Model.id)
        .where(Model.id.in_([model.id for model in models]))
        .order_by(Run.created_at.desc())
        .limit(1)
    )
    last_place = await session.scalar(
        select(Run.place).where(Run.place.in_(context.world.places)).order_by(Run.created_at.desc()).limit(1)
    )
    return Situation(
        draft=draft,
        data=data,
        models=tuple(sorted(models, key=lambda model: model.name != last_used)),
        last_used=last_used,
        world=context.world,
        last_place=last_place,
    )


async def find_data(session: AsyncSession, version_id: str) -> DataInPlan | None:
    """A data set version with its name and report."""
    version = await session.get(DatasetVersion, version_id)
    if version is None:
        return None
    dataset = await session.get_one(Dataset, version.dataset_id)
    return DataInPlan(name=dataset.name, version=version, report=DatasetReport.from_json(version.report))


async def base_models(session: AsyncSession) -> Sequence[Model]:
    """Base models that can be tuned now, the oldest first."""
    query = (
        select(Model).where(Model.kind == ModelKind.BASE, Model.state == ModelState.READY).order_by(Model.created_at)
    )
    return (await session.scalars(query)).all()


async def taken_names(session: AsyncSession) -> set[str]:
    """Names that a new experiment cannot have: of experiments, runs and models."""
    taken: set[str] = set()
    for column in (Experiment.name, Run.name, Model.name):
        taken.update(await session.scalars(select(column)))
    return taken


async def counted(context: Context, situation: Situation) -> Counted:
    """The data set of the plan as its base model sees it. Raises NeedsWork, Uncountable."""
    if situation.data is None or situation.model is None:
        raise LookupError("a data set and a base model come first")
    return await find_counted(context.session, situation.data.version, situation.model, used_fills(situation))


async def planning_facts(context: Context, situation: Situation) -> Facts:
    """What presets, rules and estimates look at. Raises NeedsWork, Uncountable."""
    found = await counted(context, situation)
    if situation.model is None:
        raise LookupError("a base model comes first")
    facts = CheckpointFacts.from_json(situation.model.facts)
    return Facts(model=facts, data=found.tokens, machine=situation.machine)


def used_fills(situation: Situation) -> dict[str, str]:
    """The fills that the plan's data set has a place for."""
    names = situation.data.report.placeholders if situation.data else ()
    return {name: value for name, value in situation.draft.fills.items() if name in names}
