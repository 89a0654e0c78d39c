"""Rows become conversations."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from training.conversation import ChatMessage, Conversation
from training.datasets.alpaca import AlpacaReader
from training.datasets.files import look_at
from training.datasets.placeholders import fill
from training.datasets.report import DatasetError, DatasetReport
from training.datasets.rows import read_rows


def conversations(
    path: Path, report: DatasetReport, *, fills: Mapping[str, str], every: int = 1
) -> Iterator[Conversation]:
    """The good rows of a checked file (or ``every`` n-th), in its order, with their placeholders filled.

    A row is good here exactly when ``check`` counts it so. DatasetError("unfilled_placeholder") for a placeholder that
    ``fills`` does not name; ``fills[name] == "{{name}}"`` keeps it as it is (``placeholders.kept``).
    """
    reader = AlpacaReader(report.columns)
    good = 0
    for row in read_rows(path, look_at(path, report.name)):
        if not isinstance(row.value, dict):
            continue
        content, findings = reader.read(row.value, is_plain=row.is_plain)
        if any(finding.severity == "bad" for finding in findings):
            continue
        good += 1
        if (good - 1) % every:
            continue
        conversation = content.conversation(row.number)
        yield filled(conversation, fills, row.line) if row.has_braces else conversation


def filled(conversation: Conversation, fills: Mapping[str, str], line: int) -> Conversation:
    """The conversation with its placeholders filled; ``line`` is for the error."""
    try:
        messages = tuple(
            ChatMessage(role=message.role, content=fill(message.content, fills)) for message in conversation.messages
        )
    except KeyError as error:
        raise DatasetError("unfilled_placeholder", name=str(error.args[0]), line=line) from error
    return Conversation(messages=messages, row=conversation.row)
