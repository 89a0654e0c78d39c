"""Which field of the file is which column: detected, shown, changeable."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from training.datasets.report import DatasetError


class Column(StrEnum):
    """What a row can hold (text ``column.<value>``), by the names of LLaMA-Factory's ``dataset_info.json``."""

    PROMPT = "prompt"
    QUERY = "query"
    RESPONSE = "response"
    HISTORY = "history"
    SYSTEM = "system"


REQUIRED = (Column.PROMPT, Column.RESPONSE)

NAMES: Mapping[Column, tuple[str, ...]] = {
    Column.PROMPT: ("instruction", "prompt", "question", "指令", "问题", "提问"),
    Column.QUERY: ("input", "context", "输入"),
    Column.RESPONSE: ("output", "response", "answer", "completion", "输出", "回答", "答案"),
    Column.HISTORY: ("history", "历史"),
    Column.SYSTEM: ("system", "system_prompt", "系统提示词"),
}
"""The fields that each column is looked for under, the format's own name first; case does not matter."""


def detect_columns(fields: Sequence[str]) -> dict[str, str]:
    """Column -> field, for the columns that are among ``fields``."""
    by_name = {field.strip().lower(): field for field in reversed(fields)}
    found = {}
    for column, names in NAMES.items():
        field = next((by_name[name] for name in names if name in by_name), None)
        if field is not None:
            found[column.value] = field
    if Column.PROMPT not in found and Column.QUERY in found:  # input and output alone
        found[Column.PROMPT.value] = found.pop(Column.QUERY.value)
    return found


def choose_columns(fields: Sequence[str], given: Mapping[str, str] | None) -> dict[str, str]:
    """The columns to read: what the person gave, over what is detected; an empty field takes a column away,
    and stays in the mapping, so that the same mapping says the same again.

    The optional columns are read under their own names even where the first rows do not have them.
    DatasetError: ``unknown_column``, ``column_needed``, ``field_used_twice``.
    """
    given = given or {}
    for column in given:
        if column not in list(Column):
            raise DatasetError("unknown_column", name=column)
    detected = {column: field for column, field in detect_columns(fields).items() if field not in given.values()}
    columns = detected | dict(given)
    taken = set(columns.values())
    for column in Column:
        own_name = NAMES[column][0]
        if column not in REQUIRED and column not in columns and own_name not in taken:
            columns[column.value] = own_name
    columns = {column.value: columns[column] for column in Column if column in columns}
    _refuse_wrong({column: field for column, field in columns.items() if field})
    return columns


def _refuse_wrong(columns: Mapping[str, str]) -> None:
    for column in REQUIRED:
        if column not in columns:
            raise DatasetError("column_needed", column=column.value)
    for name, field in columns.items():
        if list(columns.values()).count(field) > 1:
            raise DatasetError("field_used_twice", field=field, column=name)
