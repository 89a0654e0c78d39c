"""Rules about the run itself: rates, steps, intervals that exceed the run."""

from collections.abc import Iterator
from math import ceil

from training.findings import Case, Finding, Rule, note, warn
from training.presets import (
    recommended_learning_rate,
    recommended_logging_steps,
    recommended_save_steps,
    recommended_warmup_steps,
)

USUAL_RATES = {
    "lora": ((1e-5, 3e-3), (1e-5, 1e-3)),
    "full": ((1e-6, 5e-4), (1e-7, 5e-5)),
    "freeze": ((1e-6, 1e-3), (1e-7, 2e-4)),
}
"""Learning rates that work, by method: for a base model below a billion parameters, and for a larger one."""
FEWEST_STEPS = 20
MOST_EPOCHS = 10
LONG_WARMUP_SHARE = 0.3


def learning_rate(case: Case) -> Iterator[Finding]:
    """Rates that do nothing, or break the model. SGD has other ones."""
    spec = case.spec
    if spec.optimizer == "sgd":
        return
    low, high = USUAL_RATES[spec.method][0 if case.facts.is_small_model else 1]
    remedy = {"learning_rate": recommended_learning_rate(spec.method, case.facts)}
    if spec.learning_rate > high:
        yield warn("learning_rate_high", remedy, rate=spec.learning_rate, usual=high, method=spec.method)
    elif spec.learning_rate < low:
        yield warn("learning_rate_low", remedy, rate=spec.learning_rate, usual=low, method=spec.method)


def epochs(case: Case) -> Iterator[Finding]:
    """Too much or too little of the data."""
    spec, steps = case.spec, case.foreseen.steps
    if spec.epochs > MOST_EPOCHS:
        yield warn("epochs_many", {"epochs": float(MOST_EPOCHS)}, epochs=spec.epochs)
    if 0 < steps < FEWEST_STEPS:
        yield warn("steps_few", _more_steps(case), steps=steps)


def _more_steps(case: Case) -> dict[str, float] | None:
    """Smaller steps as far as they go, then more epochs."""
    spec, rows = case.spec, case.foreseen.training_rows
    per_step = max(1, rows * int(max(1, spec.epochs)) // FEWEST_STEPS)
    if per_step < spec.effective_batch and rows / per_step * spec.epochs >= FEWEST_STEPS:
        batch = min(spec.batch_size, per_step)
        return {"batch_size": batch, "gradient_accumulation": max(1, per_step // batch)}
    wanted = ceil(FEWEST_STEPS / case.foreseen.steps_per_epoch)
    return {"epochs": float(wanted)} if spec.epochs < wanted <= MOST_EPOCHS else None


def batch(case: Case) -> Iterator[Finding]:
    """A step larger than the data."""
    spec, rows = case.spec, case.foreseen.training_rows
    if rows and spec.effective_batch > rows:
        fitting = max(1, min(spec.batch_size, rows // (4 * spec.processes)))
        remedy = {"batch_size": fitting, "gradient_accumulation": 1}
        yield warn("batch_exceeds_rows", remedy, batch=spec.effective_batch, rows=rows)


def intervals(case: Case) -> Iterator[Finding]:
    """Warm-up, saving and logging within the run."""
    spec, steps = case.spec, case.foreseen.steps
    if not steps:
        return
    if spec.warmup_steps >= steps:
        warmup = {"warmup_steps": recommended_warmup_steps(steps)}
        yield warn("warmup_exceeds_run", warmup, warmup=spec.warmup_steps, steps=steps)
    elif spec.warmup_steps > LONG_WARMUP_SHARE * steps and spec.warmup_steps > 1:
        warmup = {"warmup_steps": recommended_warmup_steps(steps)}
        yield note("warmup_is_long", warmup, warmup=spec.warmup_steps, steps=steps)
    if spec.save_steps > steps:
        save = {"save_steps": recommended_save_steps(steps)}
        yield warn("save_exceeds_run", save, save=spec.save_steps, steps=steps)
    if spec.logging_steps > steps:
        logging = {"logging_steps": recommended_logging_steps(steps)}
        yield warn("logging_exceeds_run", logging, logging=spec.logging_steps, steps=steps)


def stability(case: Case) -> Iterator[Finding]:
    """Values that loosen the reins."""
    spec = case.spec
    if spec.max_grad_norm == 0:
        yield note("no_clipping", {"max_grad_norm": 1.0})
    if spec.neftune_alpha is not None and spec.neftune_alpha > 15:
        yield warn("neftune_high", {"neftune_alpha": 5.0}, alpha=spec.neftune_alpha)


LEARNING_RULES: tuple[Rule, ...] = (learning_rate, epochs, batch, intervals, stability)
