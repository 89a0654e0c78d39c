"""Rows -> live cards: a run's, a service's."""

from collections.abc import Sequence

from bot.replies import Choice, Curve, RunCard, Tone
from bot.texts import Texts
from storage.models import Run
from storage.states import RunState
from training.runs import AttemptProgress, Point, Reason

MOST_POINTS = 200
"""Of a curve on a card: more would not be seen."""

_TONES: dict[RunState, Tone] = {
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "warning",
}


def run_card(
    texts: Texts,
    run: Run,
    *,
    progress: AttemptProgress | None = None,
    base_name: str = "",
    waits_for: str | None = None,
    attempt: int = 1,
    can_keep: bool = False,
    log_lines: Sequence[str] = (),
) -> RunCard:
    """The card of a run, which replaces its earlier one in the thread.

    ``waits_for``: the run that goes first. ``can_keep``: it was stopped, and what it learned is saved but not yet a
    model of the catalogue.
    """
    progress = progress or AttemptProgress()
    return RunCard(
        title=run.name,
        status=_status(texts, run, waits_for),
        tone=_TONES.get(run.state, "plain"),
        fraction=_fraction(run, progress),
        is_live=not run.state.is_final,
        facts=tuple(fact for fact in _facts(texts, run, progress, base_name, attempt) if fact),
        curves=curves(texts, progress.points),
        note=_note(texts, run, can_keep),
        log_lines=tuple(log_lines),
        choices=_choices(texts, run, can_keep),
        key=run_key(run.id),
    )


def run_key(run_id: str) -> str:
    """The key of a run's card."""
    return f"run:{run_id}"


def curves(texts: Texts, points: Sequence[Point]) -> tuple[Curve, ...]:
    """Training and validation loss, each where there is any, of at most MOST_POINTS points."""
    training = [(point.step, point.training_loss) for point in points if point.training_loss is not None]
    validation = [(point.step, point.validation_loss) for point in points if point.validation_loss is not None]
    named = (("run.curve.training", training), ("run.curve.validation", validation))
    return tuple(Curve(label=texts(label), points=thinned(line)) for label, line in named if line)


def thinned(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> tuple[tuple[int, float], ...]:
    """At most ``most`` of the points, evenly, the first and the last among them."""
    if len(points) <= most:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(place * last / (most - 1))] for place in range(most))


def reason_text(texts: Texts, reason: str | None, detail: str | None) -> str:
    """What happened and what to do, with the reason's own words below."""
    known = f"reason.{reason}"
    sentence = texts(known if known in texts else f"reason.{Reason.BUG}")
    return f"{sentence}\n{detail}" if detail else sentence


def _status(texts: Texts, run: Run, waits_for: str | None) -> str:
    if run.state.is_final:
        begun = run.started_at or run.created_at
        took = texts.duration(((run.finished_at or begun) - begun).total_seconds())
        return texts(f"run.state.{run.state}", duration=took)
    if run.stop_wanted:
        return texts("run.state.stopping")
    if run.state is RunState.QUEUED and waits_for:
        return texts("run.state.waits_for", name=waits_for)
    return texts(f"run.state.{run.state}")


def _fraction(run: Run, progress: AttemptProgress) -> float | None:
    if run.state is RunState.SUCCEEDED:
        return 1.0
    if progress.steps:
        return min(1.0, progress.step / progress.steps)
    return 0.0 if run.state is RunState.QUEUED or run.state.is_final else None


def _facts(texts: Texts, run: Run, progress: AttemptProgress, base_name: str, attempt: int) -> list[str]:
    return [
        texts("run.fact.base", name=base_name) if base_name else "",
        _step(texts, run, progress),
        _losses(texts, progress.points),
        texts("run.fact.attempt", number=attempt) if attempt > 1 else "",
    ]


def _step(texts: Texts, run: Run, progress: AttemptProgress) -> str:
    if not progress.steps:
        return ""
    step, steps = texts.number(progress.step), texts.number(progress.steps)
    if progress.seconds_left is None or run.state is not RunState.RUNNING:
        return texts("run.fact.step", step=step, steps=steps)
    return texts("run.fact.step_left", step=step, steps=steps, left=texts.duration(progress.seconds_left))


def _losses(texts: Texts, points: Sequence[Point]) -> str:
    training = [point.training_loss for point in points if point.training_loss is not None]
    validation = [point.validation_loss for point in points if point.validation_loss is not None]
    parts = [texts("run.fact.training_loss", loss=f"{training[-1]:.3f}")] if training else []
    parts += [texts("run.fact.validation_loss", loss=f"{validation[-1]:.3f}")] if validation else []
    return texts.joined(parts)


def _note(texts: Texts, run: Run, can_keep: bool) -> str:
    if run.state is RunState.FAILED:
        return reason_text(texts, run.reason, run.detail)
    return texts("run.can_keep") if can_keep else ""


def _choices(texts: Texts, run: Run, can_keep: bool) -> tuple[Choice, ...]:
    logs = Choice(say=f"/logs {run.name}", label=texts("run.choice.logs"))
    if not run.state.is_final:
        stop = Choice(say=f"/stop {run.name}", label=texts("run.choice.stop"), style="danger")
        return (logs,) if run.stop_wanted else (stop, logs)
    if run.state is RunState.SUCCEEDED:
        return (logs,)
    is_failed = run.state is RunState.FAILED
    label = texts("run.choice.retry" if is_failed else "run.choice.resume")
    again = Choice(say=f"/retry {run.name}", label=label, style="primary" if is_failed else "plain")
    if can_keep:
        return (Choice(say=f"/deploy {run.name}", label=texts("run.choice.keep"), style="primary"), again, logs)
    return (again, logs)
