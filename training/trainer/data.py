"""The data set as token ids and labels. No torch here."""

import logging
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from storage.manifests import MANIFEST
from training.conversation import Conversation
from training.datasets import DatasetError, check, conversations
from training.runs import Attempt
from training.steps import validation_rows
from training.tokens import NOT_LEARNED, ChatTokenizer, Encoded, TokenizerError
from training.trainer.exits import BadData
from training.trainer.request import base_model_folder

_log = logging.getLogger("trainer")
Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What is trained on, and what the validation loss is measured on; neither holds an example without loss."""

    training: tuple[Encoded, ...]
    validation: tuple[Encoded, ...]


def prepare(root: Path, attempt: Attempt) -> Examples:
    """Read, convert, cut and split the data set of ``attempt``. Raises BadData where nothing is left to learn."""
    spec = attempt.spec
    rows = list(chosen(_conversations(root, attempt), excluded=attempt.excluded_lines, most=spec.max_samples))
    if not rows:
        raise BadData("the data set has no row to train on")
    tokenizer = ChatTokenizer.from_checkpoint(base_model_folder(root, attempt))
    encoded = list(_encode(rows, tokenizer, spec.cutoff_length))
    if not encoded:
        raise BadData(f"every answer lies beyond the cutoff length of {spec.cutoff_length} tokens: nothing is learned")
    training, validation = split(encoded, spec.validation_ratio, spec.seed)
    examples = Examples(training=tuple(chain(*training)), validation=tuple(chain(*validation)))
    _log.info("data: %d examples to train on, %d for validation", len(examples.training), len(examples.validation))
    return examples


def split(rows: Sequence[Row], ratio: float, seed: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows to train on and rows for validation, both in the order of the file; at least one is trained on."""
    count = min(len(rows) - 1, validation_rows(ratio, len(rows)))
    chosen = set(random.Random(seed).sample(range(len(rows)), count))
    kept = tuple(row for place, row in enumerate(rows) if place not in chosen)
    return kept, tuple(row for place, row in enumerate(rows) if place in chosen)


def data_file(folder: Path) -> Path:
    """The one data file of a data set version's folder. Raises BadData."""
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    files = [file for file in files if file.name != MANIFEST]
    if len(files) != 1:
        raise BadData(f"the folder of the data set should hold one data file, and holds {len(files)}")
    return files[0]


def _conversations(root: Path, attempt: Attempt) -> Iterator[Conversation]:
    file = data_file(root / attempt.dataset)
    try:
        report = check(file, name=file.name, columns=attempt.columns)
        yield from conversations(file, report, fills=attempt.fills)
    except DatasetError as error:
        raise BadData(f"the data set was refused: {error.code}") from error


def chosen(rows: Iterable[Conversation], *, excluded: Collection[int], most: int | None) -> Iterator[Conversation]:
    """The rows that are trained on: at most ``most``, without the ``excluded`` ones."""
    left_out = set(excluded)
    return islice((row for row in rows if row.row not in left_out), most)


def _encode(
    rows: Iterable[Conversation], tokenizer: ChatTokenizer, cutoff_length: int
) -> Iterator[tuple[Encoded, ...]]:
    """For each row with anything to learn its examples: one, or one a turn."""
    cut = empty = 0
    for row in rows:
        whole = _encode_row(row, tokenizer)
        short = [example.cut(cutoff_length) for example in whole]
        # The first token of an example is never predicted: its label makes no loss.
        kept = tuple(example for example in short if any(label != NOT_LEARNED for label in example.labels[1:]))
        cut += sum(before is not after for before, after in zip(whole, short, strict=True))
        empty += len(short) - len(kept)
        if kept:
            yield kept
    if cut or empty:
        _log.info("data: %d examples cut to %d tokens, %d left out: no answer is left", cut, cutoff_length, empty)


def _encode_row(row: Conversation, tokenizer: ChatTokenizer) -> tuple[Encoded, ...]:
    try:
        return tokenizer.encode(row)
    except TokenizerError as error:
        # Only the code is said: the template's own words may repeat the row.
        raise BadData(f"row {row.row} does not fit the chat template: {error.code}") from None
