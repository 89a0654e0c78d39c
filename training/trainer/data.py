"""The data set as token ids and labels. No torch here."""

import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.artifacts import MANIFEST
from training.conversation import Conversation
from training.datasets import DatasetError, check, conversations
from training.runs import Attempt
from training.tokens import ChatTokenizer, Encoded, TokenizerError
from training.trainer.exits import BadData
from training.trainer.request import base_model_folder

_log = logging.getLogger("trainer")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What is trained on, and what the validation loss is measured on; neither holds an example without loss."""

    training: tuple[Encoded, ...]
    validation: tuple[Encoded, ...]


def prepare(root: Path, attempt: Attempt) -> Examples:
    """Read, convert, cut and split the data set of ``attempt``. Raises BadData where nothing is left to learn."""
    spec = attempt.spec
    rows = list(_chosen(_conversations(root, attempt), attempt))
    if not rows:
        raise BadData("the data set has no row to train on")
    training, validation = split(rows, spec.validation_ratio, spec.seed)
    tokenizer = ChatTokenizer.from_checkpoint(base_model_folder(root, attempt))
    examples = Examples(
        training=tuple(_encode(training, tokenizer, spec.cutoff_length)),
        validation=tuple(_encode(validation, tokenizer, spec.cutoff_length)),
    )
    if not examples.training:
        raise BadData(f"every answer lies beyond the cutoff length of {spec.cutoff_length} tokens: nothing is learned")
    _log.info("data: %d examples to train on, %d for validation", len(examples.training), len(examples.validation))
    return examples


def split(
    rows: Sequence[Conversation], ratio: float, seed: int
) -> tuple[tuple[Conversation, ...], tuple[Conversation, ...]]:
    """Rows to train on and rows for validation, both in the order of the file; ``ratio`` 0 keeps none back.

    At least one row is kept on either side; a single row is trained on.
    """
    if ratio == 0 or len(rows) < 2:
        return tuple(rows), ()
    count = min(len(rows) - 1, max(1, round(len(rows) * ratio)))
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


def _chosen(rows: Iterable[Conversation], attempt: Attempt) -> Iterator[Conversation]:
    excluded = set(attempt.excluded_lines)
    taken = 0
    for row in rows:
        if taken == attempt.spec.max_samples:
            return
        if row.row not in excluded:
            taken += 1
            yield row


def _encode(rows: Iterable[Conversation], tokenizer: ChatTokenizer, cutoff_length: int) -> Iterator[Encoded]:
    cut, empty = 0, 0
    for row in rows:
        for whole in _encode_row(row, tokenizer):
            encoded = whole.cut(cutoff_length)
            cut += encoded is not whole
            # The first token of an example is never predicted: its label makes no loss.
            if any(label >= 0 for label in encoded.labels[1:]):
                yield encoded
            else:
                empty += 1
    if cut:
        _log.info("data: %d examples were cut to %d tokens; %d of them lost every answer", cut, cutoff_length, empty)


def _encode_row(row: Conversation, tokenizer: ChatTokenizer) -> tuple[Encoded, ...]:
    try:
        return tokenizer.encode(row)
    except TokenizerError as error:
        # Only the code is said: the template's own words may repeat the row.
        raise BadData(f"row {row.row} does not fit the chat template: {error.code}") from None
