"""How many rows a training uses and how many steps it takes, counted as transformers' Trainer counts."""

from dataclasses import dataclass
from math import ceil

from training.datasets.statistics import TokenStatistics
from training.spec import TrainingSpec


@dataclass(frozen=True, kw_only=True)
class Course:
    """A run in rows and optimizer steps.

    A row is a training example here: where the model's template rewrites earlier turns, each turn is one.
    """

    dropped_rows: int
    """Rows without anything to learn once they are cut."""
    cut_rows: int
    """Rows longer than the cutoff, the dropped ones included."""
    training_rows: int
    validation_rows: int
    steps_per_epoch: int
    steps: int


def count_steps(spec: TrainingSpec, data: TokenStatistics) -> Course:
    """The course of a run.

    Of the first ``max_samples`` rows of the data those without anything to learn go, then the validation set is taken,
    rounded up as ``datasets.train_test_split`` does. A step is ``gradient_accumulation`` batches of every process; the
    last step of an epoch may be smaller (``Trainer.set_initial_training_values``).
    """
    taken = taken_examples(spec.max_samples, data)
    share = taken / max(1, data.examples)
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


def taken_examples(max_samples: int | None, data: TokenStatistics) -> int:
    """How many training examples the first ``max_samples`` rows make."""
    rows = data.rows if max_samples is None else min(max_samples, data.rows)
    return round(data.examples * rows / max(1, data.rows))


def validation_rows(ratio: float, rows: int) -> int:
    """The size of the validation set."""
    return min(rows, ceil(ratio * rows - 1e-9))


def mean_longest(data: TokenStatistics, batch_size: int, cutoff_length: int) -> float:
    """Tokens of the longest of ``batch_size`` random rows on average: a batch is padded to it.

    The largest of b independent rows does not exceed a length with the chance F(length)^b, F the share of rows that
    do not; this is its mean.
    """
    counted = sum(data.lengths.values())
    mean = reached = 0.0
    seen = 0
    for length in sorted(data.lengths):
        seen += data.lengths[length]
        chance = (seen / counted) ** batch_size
        mean += min(length, cutoff_length) * (chance - reached)
        reached = chance
    return mean
