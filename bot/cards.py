"""Rows -> live cards: a run's, a service's, a fetched model's."""

from collections.abc import Sequence
from dataclasses import replace

from bot.replies import Choice, Curve, RunCard, Tone
from bot.serving_problems import host_sentence, problem_code, problem_sentence, token_lines
from bot.texts import Texts
from storage.models import Host, Model, Run, Service
from storage.states import HostState, ModelState, RunState, ServiceState, Wish
from training.checkpoints import CheckpointFacts
from training.runs import AttemptProgress, Point, Reason, Waiting

MOST_POINTS = 200
"""Of a curve on a card: more would not be seen."""

RUN_TONES: dict[RunState, Tone] = {
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
    waiting: Waiting | None = None,
    attempt: int = 1,
    can_keep: bool = False,
    log_lines: Sequence[str] = (),
) -> RunCard:
    """The card of a run, which replaces its earlier one in the thread.

    ``waits_for``: the run that goes first. ``waiting``: what a cluster keeps it for. ``can_keep``: it was stopped, and
    what it learned is saved but not yet a model of the catalogue.
    """
    progress = progress or AttemptProgress()
    return RunCard(
        title=run.name,
        status=run_status(texts, run, waits_for, waiting),
        tone="plain" if run.deletion_wanted_at is not None else RUN_TONES.get(run.state, "plain"),
        fraction=_fraction(run, progress),
        is_live=not run.state.is_final,
        facts=tuple(fact for fact in _facts(texts, run, progress, base_name, attempt) if fact),
        curves=curves(texts, progress.points),
        chart_label=texts("run.chart"),
        step_label=texts("run.chart.step"),
        loss_label=texts("run.chart.loss"),
        note=_note(texts, run, can_keep, waiting),
        log_lines=tuple(log_lines),
        choices=_choices(texts, run, can_keep),
        key=run_key(run.id),
    )


def run_key(run_id: str) -> str:
    """The key of a run's card."""
    return f"run:{run_id}"


def deletion_key(run_id: str) -> str:
    """The key of what is said of a run's deletion."""
    return f"deletion:{run_id}"


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


def run_status(texts: Texts, run: Run, waits_for: str | None = None, waiting: Waiting | None = None) -> str:
    """How a run is, in a few words."""
    if run.deletion_wanted_at is not None:
        return texts("run.state.deleted")
    if run.state.is_final:
        begun = run.started_at or run.created_at
        took = texts.duration(((run.finished_at or begun) - begun).total_seconds())
        return texts(f"run.state.{run.state}", duration=took)
    if run.stop_wanted:
        return texts("run.state.stopping")
    if run.state is RunState.QUEUED and waits_for:
        return texts("run.state.waits_for", name=waits_for)
    if waiting is not None:
        return texts(f"run.waiting.{waiting.code}", **waiting.params)
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
        texts("run.fact.place", name=run.place) if run.place else "",
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


def _note(texts: Texts, run: Run, can_keep: bool, waiting: Waiting | None) -> str:
    if run.deletion_wanted_at is not None:
        return ""
    if run.state is RunState.FAILED:
        return reason_text(texts, run.reason, run.detail)
    if waiting is not None and not run.state.is_final:
        return waiting.words
    return texts("run.can_keep") if can_keep else ""


def _choices(texts: Texts, run: Run, can_keep: bool) -> tuple[Choice, ...]:
    if run.deletion_wanted_at is not None:
        return ()
    logs = Choice(say=f"/logs {run.name}", label=texts("run.choice.logs"))
    if not run.state.is_final:
        stop = Choice(say=f"/stop {run.name}", label=texts("run.choice.stop"), style="danger")
        return (logs,) if run.stop_wanted else (stop, logs)
    if run.state is RunState.SUCCEEDED:
        deploy = Choice(say=f"/deploy {run.name}", label=texts("models.choice.deploy"), style="primary")
        return (logs,) if run.deploys else (deploy, logs)
    is_failed = run.state is RunState.FAILED
    label = texts("run.choice.retry" if is_failed else "run.choice.resume")
    again = Choice(say=f"/retry {run.name}", label=label, style="primary" if is_failed else "plain")
    if can_keep:
        return (Choice(say=f"/deploy {run.name}", label=texts("run.choice.keep"), style="primary"), again, logs)
    return (again, logs)


def service_card(texts: Texts, service: Service, host: Host, model: Model) -> RunCard:
    """The card of a service, from the wish to the first answer."""
    is_live = service.state in (ServiceState.WAITING, ServiceState.LOADING)
    choices: tuple[Choice, ...] = ()
    note = ""
    if service.state is ServiceState.FAILED:
        note = problem_sentence(texts, service.reason)
        choices = _choices_after_failure(texts, service, model)
    elif service.state is ServiceState.WAITING:
        restarts = texts("service.host_restarts", reason=host_sentence(texts, host.reason)) if host.reason else ""
        note = restarts or str(host.found.get("words") or "")
    elif service.state in (ServiceState.READY, ServiceState.ASLEEP):
        choices = (Choice(say=f"/undeploy {service.name}", label=texts("service.choice.undeploy")),)
    elif service.state is ServiceState.STOPPED:
        choices = (Choice(say=deploy_line(service, model), label=texts("service.choice.deploy")),)
    return RunCard(
        title=service.name,
        status=service_status(texts, service, host),
        tone=_SERVICE_TONES.get(service.state, "plain"),
        fraction=1.0 if service.state is ServiceState.READY else None if is_live else 0.0,
        is_live=is_live,
        facts=_service_facts(texts, service, host),
        note=note,
        log_lines=token_lines(texts, service.reason),
        choices=choices,
        key=f"service:{service.id}",
    )


def gone_card(card: RunCard, texts: Texts) -> RunCard:
    """The card of what was deleted: nothing can be done with it any more."""
    status = texts("run.state.deleted")
    return replace(card, status=status, tone="plain", fraction=0.0, is_live=False, note="", log_lines=(), choices=())


def _choices_after_failure(texts: Texts, service: Service, model: Model) -> tuple[Choice, ...]:
    again = Choice(say=deploy_line(service, model), label=texts("service.choice.again"), style="primary")
    if problem_code(service.reason) != "proof.endless":
        return (again,)
    return (again, Choice(say=f"{deploy_line(service, model)} anyway", label=texts("service.choice.anyway")))


def service_status(texts: Texts, service: Service, host: Host) -> str:
    """How a service is, in a few words."""
    if service.state is ServiceState.WAITING:
        waiting = f"host.waiting.{host.found.get('waiting')}"
        is_known = host.state is HostState.STARTING and waiting in texts
        return texts(waiting if is_known else f"service.waiting.{host.state}")
    return texts(f"service.state.{service.state}")


def deploy_line(service: Service, model: Model) -> str:
    """What brings a service up (again): its name is said where it is not the model's own."""
    named = "" if service.name == model.name else f" service={service.name}"
    return f"/deploy {model.name}{named}"


def _service_facts(texts: Texts, service: Service, host: Host) -> tuple[str, ...]:
    """How many instances answer, where there are several; whether it stays up."""
    if service.wanted is Wish.DOWN:
        return ()
    wanted, ready = int(host.settings.get("instances") or 1), int(host.found.get("ready") or 0)
    facts = [texts("service.fact.instances", ready=ready, wanted=wanted)] if max(wanted, ready) > 1 else []
    return (*facts, *([texts("service.fact.pinned")] if host.is_pinned else []))


_SERVICE_TONES: dict[ServiceState, Tone] = {ServiceState.READY: "good", ServiceState.FAILED: "bad"}


_MODEL_TONES: dict[ModelState, Tone] = {ModelState.READY: "good", ModelState.FAILED: "bad"}


def model_key(model_id: str) -> str:
    """The key of a fetched model's card."""
    return f"model:{model_id}"


def model_card(texts: Texts, model: Model, *, done: int = 0, total: int = 0) -> RunCard:
    """The card of a base model that is being fetched: ``done`` of ``total`` bytes (0: not known yet)."""
    is_live = model.state is ModelState.FETCHING
    facts: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    if is_live and total:
        facts = (texts("catalogue.fetched_of", done=texts.size(done), total=texts.size(total)),)
    if model.state is ModelState.FAILED:
        again = f"/models add {model.source.removeprefix('hub:')}"
        choices = (Choice(say=again, label=texts("catalogue.choice.again"), style="primary"),)
    elif not is_live:
        facts = (model_line(texts, model),)
        choices = (Choice(say="/finetune", label=texts("starter.finetune"), style="primary"),)
    return RunCard(
        title=model.name,
        status=texts(f"catalogue.state.{model.state}"),
        tone=_MODEL_TONES.get(model.state, "plain"),
        fraction=min(1.0, done / total) if is_live and total else None if is_live else 1.0,
        is_live=is_live,
        facts=facts,
        note=problem_sentence(texts, model.reason),
        choices=choices,
        key=model_key(model.id),
    )


def model_line(texts: Texts, model: Model) -> str:
    """A base model in one line: parameters, context, licence."""
    facts = CheckpointFacts.from_json(model.facts)
    millions = facts.parameters / 1e6
    size = texts("catalogue.billions", value=texts.number(round(millions / 1000, 1))) if millions >= 1000 else None
    parts = [
        size or texts("catalogue.millions", value=texts.number(round(millions))),
        texts("catalogue.context", tokens=texts.number(facts.context_tokens)),
    ]
    return texts.joined([*parts, *([facts.licence] if facts.licence else [])])
