"""A service is ready: its thread learns whom it talks to now, once."""

from sqlalchemy.ext.asyncio import AsyncSession

from bot.hosting import is_adapter
from bot.reconcile.live import say_once
from bot.replies import Comparison, ComparisonRow, Notice
from bot.texts import Texts, texts
from storage.models import Model, Run, Service, Thread
from storage.threads import find_message


async def announce(session: AsyncSession, thread: Thread, service: Service, model: Model) -> list[str]:
    """Set the thread's service and say so; the comparison stands above, its answers still to come.

    A whole model is not compared: its base is not served beside it.
    """
    notice_key = f"talking:{service.id}"
    if await find_message(session, thread.id, notice_key) is not None:
        return []
    shown: list[str] = []
    run = await session.get(Run, model.run_id) if model.run_id else None
    if run is not None and run.questions and not service.compared and is_adapter(model):
        shown += await say_once(session, thread, await comparison(session, thread, service, model, run, answers=()))
    thread.service_id, thread.speaker = service.id, "tuned"
    text = texts(thread.language)("chat.talking", name=service.name)
    return shown + await say_once(session, thread, Notice(text=text, key=notice_key))


async def comparison(
    session: AsyncSession,
    thread: Thread,
    service: Service,
    model: Model,
    run: Run,
    *,
    answers: tuple[tuple[str, str], ...],
    note: str = "",
) -> Comparison:
    """The run's questions with the answers so far: (base, tuned) for the first ones, nothing yet for the others."""
    text = texts(thread.language)
    base = await session.get_one(Model, run.base_model_id)
    padded = [*answers, *[("", "")] * (len(run.questions) - len(answers))]
    is_whole = len(answers) == len(run.questions) and all(all(pair) for pair in answers)
    about_data = text("comparison.training_questions") if not run.spec.get("validation_ratio") else ""
    return Comparison(
        intro=_intro(text, run),
        base_label=text("chat.base_label", name=base.name),
        tuned_label=service.name,
        rows=tuple(
            ComparisonRow(question=question, base=base_answer, tuned=tuned_answer)
            for question, (base_answer, tuned_answer) in zip(run.questions, padded, strict=True)
        ),
        note=note or (about_data if is_whole else text("comparison.under_way")),
        key=f"comparison:{service.id}",
    )


def _intro(text: Texts, run: Run) -> str:
    if run.started_at is None or run.finished_at is None or not run.estimate:
        return text("comparison.intro")
    low, high = (text.duration(float(run.estimate[name])) for name in ("seconds_low", "seconds_high"))
    return text(
        "comparison.intro_timed",
        took=text.duration((run.finished_at - run.started_at).total_seconds()),
        promised=low if low == high else text("comparison.promised", low=low, high=high),
    )
