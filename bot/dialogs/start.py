"""From a plan to a queued run: everything is written in the turn's transaction, the loops do the rest."""

from typing import Any

from bot.cards import run_card
from bot.context import Context
from bot.dialogs.review import Proposal
from bot.dialogs.situation import DataInPlan, Situation, used_fills
from storage.models import Model, Run, new_id
from storage.runs import create_run
from storage.states import RunState


async def start_run(context: Context, data: DataInPlan, model: Model, situation: Situation, proposal: Proposal) -> Run:
    """Create the experiment with its run, and say the run's card."""
    run = Run(
        id=new_id(),
        name=proposal.experiment,
        user_id=context.thread.user_id,
        thread_id=context.thread.id,
        dataset_version_id=data.version.id,
        base_model_id=model.id,
        spec=proposal.plan.spec.model_dump(mode="json"),
        fills=used_fills(situation),
        estimate=proposal.estimate.to_json(),
        questions=list(proposal.questions),
        deploys=situation.draft.deploys,
        state=RunState.QUEUED,
        stop_wanted=False,
    )
    await create_run(
        context.session,
        experiment_name=proposal.experiment,
        plan=plan_as_given(data, model, situation, proposal),
        run=run,
    )
    await context.reply(run_card(context.texts, run, base_name=model.name))
    return run


def plan_as_given(data: DataInPlan, model: Model, situation: Situation, proposal: Proposal) -> dict[str, Any]:
    """The plan as flat names and values: what the person gave, and nothing that was filled in."""
    draft = situation.draft
    fills = {f"fill.{name}": value for name, value in used_fills(situation).items()}
    return {
        "experiment": proposal.experiment,
        "dataset": data.name,
        "dataset_sha256": data.version.sha256,
        "base_model": model.name,
        "preset": draft.preset,
        "bad_rows": "leave out" if draft.leaves_out_bad_rows else None,
        "deploys": draft.deploys,
        **fills,
        **draft.values,
    }
