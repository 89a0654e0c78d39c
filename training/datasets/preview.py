"""A row as the model will see it, and questions to compare models with."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from training.conversation import Conversation
from training.datasets.convert import conversations
from training.datasets.languages import language_of
from training.datasets.report import DatasetReport
from training.tokens import ChatTokenizer

ROWS_LOOKED_AT = 2_000
"""Samples and questions are chosen among so many first rows."""

QUESTION_CHARACTERS = 300
"""Longer questions are poor company in a comparison."""


class PreviewPiece(NamedTuple):
    """A stretch of a row; what is learned is marked."""

    text: str
    is_learned: bool


def preview(
    conversation: Conversation, tokenizer: ChatTokenizer, *, cutoff_length: int | None
) -> tuple[PreviewPiece, ...]:
    """A row, template markers included, cut where training cuts it (tokens; None: nowhere).

    Made by the code that makes the batches. Where the template rewrites earlier turns, it is the last example.
    """
    examples = tokenizer.pieces(conversation)
    left = cutoff_length
    shown = []
    for piece in examples[-1] if examples else ():
        if left is not None and len(piece.ids) > left:
            text = tokenizer.decode(piece.ids[:left]).rstrip("\ufffd")
            shown.append(PreviewPiece(text, piece.is_learned))
            break
        shown.append(PreviewPiece(piece.text, piece.is_learned))
        left = left - len(piece.ids) if left is not None else None
    return tuple(piece for piece in shown if piece.text)


def samples(path: Path, report: DatasetReport, fills: Mapping[str, str], n: int = 2) -> tuple[Conversation, ...]:
    """Rows to show, the same every time: of each language in turn, the commonest first."""
    first = islice(conversations(path, report, fills=fills), ROWS_LOOKED_AT)
    return tuple(islice(_in_turn(_by_language(first)), n))


def comparison_questions(path: Path, report: DatasetReport, fills: Mapping[str, str], n: int = 3) -> tuple[str, ...]:
    """Questions of the data for comparing models, the same every time: spread over the rows, both languages."""
    first = islice(conversations(path, report, fills=fills), ROWS_LOOKED_AT)
    groups = [_spread(group, n) for group in _by_language(first)]
    questions = dict.fromkeys(_question(conversation) for conversation in _in_turn(groups))
    short = [question for question in questions if len(question) <= QUESTION_CHARACTERS]
    return tuple((short or list(questions))[:n])


def _question(conversation: Conversation) -> str:
    return next(message.content for message in conversation.messages if message.role == "user")


def _by_language(rows: Iterable[Conversation]) -> list[list[Conversation]]:
    """Rows of each language, the commonest language first."""
    groups: dict[str, list[Conversation]] = {}
    for row in rows:
        groups.setdefault(language_of(row.messages[-1].content), []).append(row)
    return sorted(groups.values(), key=len, reverse=True)


def _in_turn(groups: Sequence[Sequence[Conversation]]) -> Iterable[Conversation]:
    return (row for round_ in zip_longest(*groups) for row in round_ if row is not None)


def _spread(rows: Sequence[Conversation], n: int) -> list[Conversation]:
    """First some ``n`` rows at even distances, then the others."""
    places = [place * len(rows) // n for place in range(n)]
    chosen = dict.fromkeys([*places, *range(len(rows))])
    return [rows[place] for place in chosen if place < len(rows)]
