"""What a stopped run has saved becomes a model, and is served."""

from bot.context import Context, say
from bot.reconcile.deploying import say_service, serve
from bot.reconcile.outcome import inspect_outcome, take_in
from bot.replies import Text
from storage.artifact_errors import ArtifactError
from storage.models import Run, Thread
from storage.runs import get_run
from training.adapters import AdapterProblem
from training.checkpoints import CheckpointError


def keep(context: Context, run: Run) -> None:
    """Make a model of what a stopped run has saved, once the turn is committed: its files are looked at first."""
    world, speaking, text = context.world, context.speaking, context.texts
    run_id, thread_id = run.id, context.thread.id

    async def act() -> bool:
        try:
            facts = await inspect_outcome(world, run)
        except (AdapterProblem, CheckpointError, ArtifactError) as error:
            code = f"artifact_error.{error.code}" if isinstance(error, ArtifactError) else "deploy.unfit"
            sentence = text(code, name=run.name, detail=str(error))
            await speaking.tell(thread_id, Text(markdown=sentence, tone="bad"))
            return False
        async with world.store.transaction() as session:
            row, thread = await get_run(session, run_id), await session.get(Thread, thread_id)
            if row is None or thread is None:
                return False
            service = None
            if row.deletion_wanted_at is not None:
                shown = [(await say(session, thread, Text(markdown=text("run.deleted", name=row.name), tone="bad"))).id]
            else:
                model = await take_in(session, row, facts)
                service, shown = await serve(session, world, model, row, thread=thread)
            if service is not None:
                thread.service_id, thread.speaker = service.id, "tuned"
                shown = await say_service(session, thread, service, model)
        await speaking.show(shown)
        world.wake()
        return service is not None

    context.afterwards.append(act)
