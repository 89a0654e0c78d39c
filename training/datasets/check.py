"""Check every row of a data set, in one pass that also makes its hash."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from training.datasets.alpaca import AlpacaReader, AlpacaRow, Finding, type_name
from training.datasets.columns import choose_columns
from training.datasets.files import FileShape, look_at
from training.datasets.formats import Recognised, get_trainable
from training.datasets.json_errors import Broken
from training.datasets.languages import language_of
from training.datasets.placeholders import find_placeholders
from training.datasets.report import (
    BAD_LINES_KEPT,
    PROBLEMS_KEPT,
    DatasetError,
    DatasetReport,
    Note,
    Problem,
)
from training.datasets.rows import Hash, Row, read_rows

ROWS_LOOKED_AT = 50
"""So many rows tell the format and its columns."""

ROWS_REMEMBERED = 2_000_000
"""Duplicates are looked for among so many rows; about 100 bytes are held for each."""

SYSTEM_PROMPTS_COUNTED = 1_000
PLACEHOLDERS_COUNTED = 200


class Checked(NamedTuple):
    """A row with what was found; ``content`` is None where the row is bad."""

    row: Row
    content: AlpacaRow | None
    problems: list[Problem]


class Opened(NamedTuple):
    """A file whose format and columns are known."""

    path: Path
    name: str
    shape: FileShape
    found: Recognised
    columns: Mapping[str, str]


def open_dataset(path: Path, name: str, columns: Mapping[str, str] | None) -> Opened:
    """Tell format and columns by the first rows; DatasetError where the file is refused."""
    shape = look_at(path, name)
    values = [row.value for row in islice(read_rows(path, shape), ROWS_LOOKED_AT)]
    if not values:
        raise DatasetError("no_rows")
    objects = [value for value in values if isinstance(value, dict)]
    readable = [value for value in values if not isinstance(value, Broken)]
    if readable and not objects:
        raise DatasetError("rows_are_no_objects", found=type_name(readable[0]))
    counts = Counter(field for value in objects for field in value)
    common = [field for field, count in counts.items() if 2 * count >= len(objects)]
    # Nothing but broken lines: the check goes on, to name what is wrong with each.
    fields = list(counts) or ["instruction", "output"]
    found = get_trainable(common, fields, columns or {})
    chosen = choose_columns(fields, columns)
    return Opened(path, name, shape, found, chosen)


def checked_rows(opened: Opened, digest: Hash | None = None, seen: set[str] | None = None) -> Iterator[Checked]:
    """Every row with its problems, in the order of the file; ``seen`` takes in the fields that rows have."""
    reader = AlpacaReader(opened.columns)
    read_quickly = reader.read_quickly
    seen = set() if seen is None else seen
    earlier: dict[int, int] = {}
    for row in read_rows(opened.path, opened.shape, digest):
        value = row.value
        if type(value) is not dict:
            yield Checked(row, None, [_not_an_object(row)])
            continue
        quick = read_quickly(value) if row.is_plain else None
        content, findings = (quick, []) if quick else reader.read(value, is_plain=row.is_plain)
        if not value.keys() <= seen:
            new = [field for field in value if field not in seen]
            seen.update(new)
            findings.extend(Finding("unknown_field", name, {}, "warning") for name in new if name not in reader.fields)
        is_bad = bool(findings) and any(finding.severity == "bad" for finding in findings)
        if not is_bad:
            key = hash(content)
            line = earlier.get(key)
            if line is not None:
                findings.append(Finding("duplicate", None, {"first_line": line}, "warning"))
            elif len(earlier) < ROWS_REMEMBERED:
                earlier[key] = row.line
        yield Checked(
            row, None if is_bad else content, [_problem(row, found) for found in findings] if findings else []
        )


def _problem(row: Row, finding: Finding) -> Problem:
    return Problem(
        code=finding.code,
        line=row.line,
        row=row.number,
        field=finding.field,
        params=finding.params,
        severity=finding.severity,
    )


def _not_an_object(row: Row) -> Problem:
    if isinstance(row.value, Broken):
        params: dict[str, str | int] = {"reason": row.value.reason, "position": row.value.position}
        return Problem(code="not_json", line=row.line, row=row.number, params=params)
    return Problem(code="not_an_object", line=row.line, row=row.number, params={"found": type_name(row.value)})


def problems(path: Path, *, name: str, columns: Mapping[str, str] | None = None) -> Iterator[Problem]:
    """All problems of a data set, in the order of the file."""
    for checked in checked_rows(open_dataset(path, name, columns)):
        yield from checked.problems


def check(path: Path, *, name: str, columns: Mapping[str, str] | None = None) -> DatasetReport:
    """Check a data set that was uploaded as ``name``. Blocking; it lets other threads run in between.

    ``columns`` (column -> field) goes over what is detected; an empty field takes a column away.
    DatasetError where the whole file is refused, or a given column is in no row (``column_missing``).
    """
    opened = open_dataset(path, name, columns)
    digest = hashlib.sha256()
    tally = Tally()
    for checked in checked_rows(opened, digest, tally.fields):
        tally.add(checked)
    for column, field in (columns or {}).items():
        if field and field not in tally.fields:
            raise DatasetError("column_missing", column=column, field=field)
    return tally.report(opened, digest.hexdigest())


class Tally:
    """Counts while the rows go by."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        """The fields that rows have: ``checked_rows`` fills it."""
        self._rows = 0
        self._bad_rows = 0
        self._plain_rows = 0
        self._with_system = 0
        self._problems: list[Problem] = []
        self._counts: Counter[str] = Counter()
        self._bad_lines: list[int] = []
        self._placeholders: Counter[str] = Counter()
        self._systems: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()

    def add(self, checked: Checked) -> None:
        """Take in one row. Most are good and plain: for these little is done."""
        row, content, found = checked
        if found:
            self._count_problems(row, is_bad=content is None, found=found)
        if content is None:
            return
        self._rows += 1
        if row.is_plain:
            self._plain_rows += 1
        else:
            self._languages[language_of(content.response)] += 1
        if content.system:
            self._count_system(content.system)
        if row.has_braces:
            self._count_placeholders(content)

    def _count_problems(self, row: Row, *, is_bad: bool, found: list[Problem]) -> None:
        self._counts.update(problem.code for problem in found)
        self._problems.extend(found[: PROBLEMS_KEPT - len(self._problems)])
        if is_bad:
            self._bad_rows += 1
            if len(self._bad_lines) < BAD_LINES_KEPT:
                self._bad_lines.append(row.line)

    def _count_system(self, system: str) -> None:
        self._with_system += 1
        if system in self._systems or len(self._systems) < SYSTEM_PROMPTS_COUNTED:
            self._systems[system] += 1

    def _count_placeholders(self, content: AlpacaRow) -> None:
        names = dict.fromkeys(name for text in content.texts() for name in find_placeholders(text))
        for name in names:
            if name in self._placeholders or len(self._placeholders) < PLACEHOLDERS_COUNTED:
                self._placeholders[name] += 1

    def report(self, opened: Opened, sha256: str) -> DatasetReport:
        """What was counted."""
        notes = opened.shape.notes
        if self._rows > ROWS_REMEMBERED:
            notes += (Note(code="duplicates_limited", params={"rows": ROWS_REMEMBERED}),)
        languages = self._languages + Counter(en=self._plain_rows)
        systems = Counter({"": self._rows - self._with_system}) + self._systems
        system, carriers = systems.most_common(1)[0] if systems else ("", 0)
        return DatasetReport(
            name=opened.name,
            format=opened.found.format.value,
            use=opened.found.use.value,
            columns={column: field for column, field in opened.columns.items() if not field or field in self.fields},
            rows=self._rows,
            bad_rows=self._bad_rows,
            problems=tuple(self._problems),
            problem_counts=dict(self._counts),
            bad_lines=tuple(self._bad_lines),
            duplicates=self._counts["duplicate"],
            notes=notes,
            placeholders=tuple(self._placeholders),
            placeholder_rows=dict(self._placeholders),
            system_prompt=system or None,
            other_system_prompts=self._rows - carriers,
            languages={name: count / self._rows for name, count in languages.most_common()},
            size_bytes=opened.path.stat().st_size,
            sha256=sha256,
        )
