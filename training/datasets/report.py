"""What the check of a data set says: problems, notes, the report, and the refusal of a whole file.

Everything here is codes with parameters; ``bot.texts`` holds the sentences. These parameters are ids with a text of
their own: ``format`` (``format.<id>``), ``use`` (``use.<id>``), ``column`` (``column.<id>``), ``reason``
(``json_reason.<id>``) and ``found`` (``json_type.<id>``).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

Severity = Literal["bad", "warning"]
Params = Mapping[str, str | int]

PROBLEMS_KEPT = 200
"""How many problems a report holds; ``training.datasets.problems`` gives them all."""

BAD_LINES_KEPT = 10_000
"""How many line numbers of bad rows a report holds; ``bad_rows`` counts all."""


class DatasetError(Exception):
    """The whole file is refused: ``code`` (text ``dataset_error.<code>``) and its parameters."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(f"{code} {params}" if params else code)
        self.code = code
        self.params: Params = params


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something about one row (text ``problem.<code>``). A ``bad`` row cannot be trained; a warning is for the eye."""

    code: str
    line: int | None
    """Of the file, from 1: where the row begins."""
    row: int | None
    """From 1; empty lines are no rows."""
    field: str | None = None
    params: Params = dataclasses.field(default_factory=dict)
    severity: Severity = "bad"

    @property
    def values(self) -> Params:
        """Everything that the problem's sentence may name."""
        where = {"line": self.line, "row": self.row, "field": self.field}
        return {name: value for name, value in where.items() if value is not None} | dict(self.params)


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something about the whole file that was accepted (text ``dataset_note.<code>``)."""

    code: str
    params: Params = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What the check found. Nothing of it was repaired: bad rows are left out only with the person's consent."""

    name: str
    """The name of the file."""
    format: str
    use: str
    columns: Mapping[str, str]
    """Column (``training.datasets.columns.Column``) -> field of the file, for those in use. An empty field: the person
    took the column away."""
    rows: int
    """Rows that can be trained."""
    bad_rows: int
    problems: tuple[Problem, ...]
    """The first PROBLEMS_KEPT, in the order of the file."""
    problem_counts: Mapping[str, int]
    """Code -> how often, over the whole file."""
    bad_lines: tuple[int, ...]
    """The lines of the first BAD_LINES_KEPT bad rows."""
    duplicates: int
    """Rows that repeat an earlier one exactly; they count as rows."""
    notes: tuple[Note, ...]
    placeholders: tuple[str, ...]
    """Names that stand in double braces, in the order of the file: they must be filled, or kept on purpose."""
    placeholder_rows: Mapping[str, int]
    """Placeholder -> in how many rows it stands."""
    system_prompt: str | None
    """The one that most rows carry; None where most carry none."""
    other_system_prompts: int
    """Rows that carry another system prompt than that, or none."""
    languages: Mapping[str, float]
    """``zh``, ``en``, ``other`` -> share of the rows, by script: what is written in Latin letters counts as ``en``."""
    size_bytes: int
    sha256: str

    @property
    def all_rows(self) -> int:
        """Good and bad ones."""
        return self.rows + self.bad_rows

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(_REPORT.dump_python(self, mode="json"))

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "DatasetReport":
        """The report of ``to_json``."""
        return _REPORT.validate_python(value)


_REPORT = TypeAdapter(DatasetReport)
