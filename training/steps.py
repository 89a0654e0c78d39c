"""How many rows a training uses and how many steps it takes, counted as transformers' Trainer counts."""

from dataclasses import dataclass
from math import ceil

from training.facts import Lengths
from training.spec import TrainingSpec

QUANTILES = 64
"""How finely the data's lengths are sampled."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A run in rows and optimizer steps."""

    dropped_rows: int
    """Rows without anything to learn once they are cut."""
    cut_rows: int
    """Rows longer than the cutoff, the dropped ones included."""
    training_rows: int
    validation_rows: int
    steps_per_epoch: int
    steps: int


def count_steps(spec: TrainingSpec, data: Lengths) -> Course:
    """The course of a run.

    Of the first ``max_samples`` rows those without anything to learn go, then the validation set is taken, rounded up
    as ``datasets.train_test_split`` does. A step is ``gradient_accumulation`` batches of every process; the last step
    of an epoch may be smaller (``Trainer.set_initial_training_values``).
    """
    taken = taken_rows(spec.max_samples, data)
    share = taken / data.rows if data.rows else 0.0
    dropped = round(data.answers_cut_whole(spec.cutoff_length) * share)
    usable = taken - dropped
    validation = validation_rows(spec.validation_ratio, usable)
    batches = ceil((usable - validation) / (spec.batch_size * spec.processes))
    steps_per_epoch = ceil(batches / spec.gradient_accumulation)
    return Course(
        dropped_rows=dropped,
        cut_rows=round(data.rows_longer_than(spec.cutoff_length) * share),
        training_rows=usable - validation,
        validation_rows=validation,
        steps_per_epoch=steps_per_epoch,
        steps=ceil(steps_per_epoch * spec.epochs),
    )


def taken_rows(max_samples: int | None, data: Lengths) -> int:
    """How many rows there are at most ``max_samples`` of."""
    return data.rows if max_samples is None else min(max_samples, data.rows)


def validation_rows(ratio: float, rows: int) -> int:
    """The size of the validation set."""
    return min(rows, ceil(ratio * rows - 1e-9))


def mean_tokens(data: Lengths, cutoff_length: int) -> float:
    """Tokens of a row on average, cut."""
    return mean_longest(data, 1, cutoff_length)


def mean_longest(data: Lengths, batch_size: int, cutoff_length: int) -> float:
    """Tokens of the longest of ``batch_size`` random rows on average: a batch is padded to it.

    The largest of b independent rows has the quantile function Q(u^(1/b)); this is its mean over u.
    """
    shares = (((step + 0.5) / QUANTILES) ** (1 / batch_size) for step in range(QUANTILES))
    return sum(min(data.percentile(share), cutoff_length) for share in shares) / QUANTILES
