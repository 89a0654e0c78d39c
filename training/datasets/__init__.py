"""Data sets: what a file holds, what is wrong with it, and the conversations it becomes."""

from training.conversation import ChatMessage, Conversation
from training.datasets.check import check, problems
from training.datasets.columns import Column
from training.datasets.convert import conversations
from training.datasets.formats import Format, Use
from training.datasets.names import InvalidName, parse_name, suggest_name
from training.datasets.placeholders import kept
from training.datasets.preview import PreviewPiece, comparison_questions, preview, samples
from training.datasets.report import DatasetError, DatasetReport, Note, Problem
from training.datasets.statistics import TokenStatistics, count_tokens, measure

__all__ = [
    "ChatMessage",
    "Column",
    "Conversation",
    "DatasetError",
    "DatasetReport",
    "Format",
    "InvalidName",
    "Note",
    "PreviewPiece",
    "Problem",
    "TokenStatistics",
    "Use",
    "check",
    "comparison_questions",
    "conversations",
    "count_tokens",
    "kept",
    "measure",
    "parse_name",
    "preview",
    "problems",
    "samples",
    "suggest_name",
]
