"""From a plan to a queued run: everything is written in the turn's transaction, the loops do the rest."""

from typing import Any

from bot.cards import run_card
from bot.context import Context
from bot.dialogs.asking import REVIEW, ask, close, entitle, go_on
from bot.dialogs.questions import RECOMMENDED, foresee
from bot.dialogs.review import Proposal, propose, review_card
from bot.dialogs.rights import may_manage
from bot.dialogs.situation import DataInPlan, Situation, used_fills
from bot.dialogs.wording import finding_sentence, label, sentence
from bot.draft import write_draft
from bot.facts import Uncountable
from bot.replies import Notice, Text
from storage.models import Model, Run, new_id
from storage.runs import create_run
from storage.states import RunState
from storage.threads import open_user


async def start(context: Context, situation: Situation) -> None:
    """Start with what is recommended for the rest. Where something must be asked, or cannot be, nothing starts."""
    if not await may_manage(context):
        # The plan stays open: whoever may start can go on with it.
        await go_on(context, situation)
        return
    missing = [step for step in situation.steps() if not situation.is_answered(step)]
    must = [step for step in missing if step not in RECOMMENDED or not situation.models]
    if must:
        names = context.texts.joined([label(context.texts, name) for name in must])
        await context.refuse(Text(markdown=context.texts("start.missing", names=names), tone="warning"))
        await go_on(context, situation, step=must[0])
    elif context.has_failed:
        # Something of this very line was wrong: what would start is not what was asked for.
        await context.reply(Notice(text=context.texts("start.not_yet")))
        await go_on(context, situation)
    else:
        try:
            await _start_complete(context, situation)
        except Uncountable as trouble:
            reason = sentence(context.texts, trouble.message_id, trouble.values)
            await context.refuse(Text(markdown=reason, tone="bad"))
            await ask(context, situation.with_draft(situation.draft.changed(base_model=None)), "base_model")


async def _start_complete(context: Context, situation: Situation) -> None:
    text, model, data = context.texts, situation.model, situation.data
    if model is None or data is None:
        raise LookupError("a data set and a base model come first")
    draft = situation.draft.changed(base_model=model.name, place=situation.place)
    if draft.preset is None:
        recommended = (await foresee(context, situation.with_draft(draft))).recommended
        draft = draft.changed(preset=recommended.value)
    situation = situation.with_draft(draft)
    proposal = await propose(context, situation)
    if proposal.is_refused:
        lines = [f"- {finding_sentence(text, finding)}" for finding in proposal.refusals]
        await context.refuse(Text(markdown="\n".join([text("start.refused"), *lines]), tone="bad"))
        await ask(context, situation, REVIEW)
        return
    if draft.open == REVIEW:
        await close(context, draft, text("answered.started"))
    else:
        key = f"question:{context.turn.event_id}"
        await context.reply(review_card(text, situation, proposal, key=key, is_open=False))
    await _create(context, data, model, situation, proposal)
    write_draft(context.thread, None)
    entitle(context, situation)


async def _create(context: Context, data: DataInPlan, model: Model, situation: Situation, proposal: Proposal) -> None:
    """The experiment with its run, and the run's card."""
    user = await open_user(context.session, context.turn.user.name)
    run = Run(
        id=new_id(),
        name=proposal.experiment,
        user_id=user.id,
        thread_id=context.thread.id,
        dataset_version_id=data.version.id,
        base_model_id=model.id,
        spec=proposal.plan.spec.model_dump(mode="json"),
        fills=used_fills(situation),
        estimate=proposal.estimate.to_json(),
        questions=list(proposal.questions),
        deploys=situation.draft.deploys,
        place=situation.place,
        state=RunState.QUEUED,
        stop_wanted=False,
    )
    plan = plan_as_given(data, model, situation, proposal)
    await create_run(context.session, experiment_name=proposal.experiment, plan=plan, run=run)
    await context.reply(run_card(context.texts, run, base_name=model.name))


def plan_as_given(data: DataInPlan, model: Model, situation: Situation, proposal: Proposal) -> dict[str, Any]:
    """The plan as flat names and values: what the person gave, and nothing that was filled in."""
    draft = situation.draft
    fills = {f"fill.{name}": value for name, value in used_fills(situation).items()}
    return {
        "experiment": proposal.experiment,
        "dataset": data.name,
        "dataset_sha256": data.version.sha256,
        "base_model": model.name,
        "place": situation.place,
        "preset": draft.preset,
        "bad_rows": "leave out" if draft.leaves_out_bad_rows else None,
        "deploys": draft.deploys,
        **fills,
        **draft.values,
    }
