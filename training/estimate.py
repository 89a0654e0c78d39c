"""Before a run: its steps, its tokens, how long it takes and how much memory it needs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.duration import duration
from training.facts import Facts
from training.memory import available_bytes, peak_bytes
from training.spec import TrainingSpec
from training.steps import count_steps


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A run, foreseen."""

    steps: int
    """Optimizer steps in all."""
    steps_per_epoch: int
    training_rows: int
    validation_rows: int
    trained_tokens: int
    """Over all epochs, without padding."""
    seconds_low: float
    seconds_high: float
    memory_bytes: int
    """At the worst step; of each card, or of main memory where the CPU trains."""
    available_bytes: int
    """What there is of it now."""
    cut_rows: int
    dropped_rows: int
    """Rows that are cut so short that nothing of their answers is left: they are not trained."""

    def to_json(self) -> dict[str, float]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Estimate":
        """From what ``to_json`` gave."""
        return cls(**data)


def estimate(spec: TrainingSpec, facts: Facts) -> Estimate:
    """Foresee the run that ``spec`` describes."""
    course = count_steps(spec, facts.data)
    seconds = duration(spec, facts, course)
    mean = facts.data.tokens_within(spec.cutoff_length) / max(1, facts.data.examples)
    return Estimate(
        steps=course.steps,
        steps_per_epoch=course.steps_per_epoch,
        training_rows=course.training_rows,
        validation_rows=course.validation_rows,
        trained_tokens=round(mean * course.training_rows * spec.epochs),
        seconds_low=seconds.low,
        seconds_high=seconds.high,
        memory_bytes=peak_bytes(spec, facts),
        available_bytes=available_bytes(spec, facts),
        cut_rows=course.cut_rows,
        dropped_rows=course.dropped_rows,
    )
