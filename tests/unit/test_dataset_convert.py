"""Rows become conversations, and come out as they went in."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.places import shared_data
from training.datasets import Conversation, DatasetError, check, conversations, kept, problems
from training.datasets.placeholders import fill

WORDS = some.text(
    some.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\x85\ufffd\ufffe\uffff{}"),
    min_size=1,
    max_size=30,
).filter(lambda text: bool(text.strip()))
ROWS = some.lists(
    some.fixed_dictionaries(
        {"instruction": WORDS, "output": WORDS},
        optional={
            "input": some.one_of(some.just(""), WORDS),
            "system": WORDS,
            "history": some.lists(some.tuples(WORDS, WORDS).map(list), max_size=3),
        },
    ),
    min_size=1,
    max_size=8,
)


def expected(row: dict[str, Any]) -> list[tuple[str, str]]:
    turns = [("system", row["system"])] if row.get("system") else []
    for question, answer in row.get("history", []):
        turns += [("user", question), ("assistant", answer)]
    question = "\n".join(text for text in (row["instruction"], row.get("input", "")) if text)
    return [*turns, ("user", question), ("assistant", row["output"])]


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=ROWS, is_array=some.booleans(), ensure_ascii=some.booleans(), indent=some.sampled_from([None, 2]))
def test_every_row_comes_out_as_it_went_in(
    tmp_path: Path, rows: list[dict[str, Any]], is_array: bool, ensure_ascii: bool, indent: int | None
) -> None:
    path = tmp_path / "file"
    if is_array:
        text = json.dumps(rows, ensure_ascii=ensure_ascii, indent=indent)
    else:
        text = "\n".join(json.dumps(row, ensure_ascii=ensure_ascii) for row in rows)
    path.write_text(text, encoding="utf-8", newline="")
    report = check(path, name="a.json" if is_array else "a.jsonl")
    assert (report.rows, report.bad_rows) == (len(rows), 0)
    converted = list(conversations(path, report, fills={}))
    assert [said(conversation) for conversation in converted] == [expected(row) for row in rows]
    assert [conversation.row for conversation in converted] == list(range(1, len(rows) + 1))


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=10),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ODD_ROWS = some.fixed_dictionaries(
    {}, optional=dict.fromkeys(("instruction", "input", "output", "system", "history", "more"), JSON)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(rows=some.lists(some.one_of(ODD_ROWS, JSON, some.just("{broken")), max_size=6))
def test_whatever_stands_in_a_line_every_row_is_good_or_told(tmp_path: Path, rows: list[object]) -> None:
    path = tmp_path / "a.jsonl"
    lines = [row if row == "{broken" else json.dumps(row) for row in rows]
    path.write_text("\n".join(['{"instruction": "a", "output": "b"}', *map(str, lines)]), encoding="utf-8")
    columns = {"prompt": "instruction", "response": "output"}
    report = check(path, name=path.name, columns=columns)
    bad = {problem.row for problem in problems(path, name=path.name, columns=columns) if problem.severity == "bad"}
    good = {conversation.row for conversation in conversations(path, report, fills=kept(report.placeholders))}
    assert (len(good), len(bad)) == (report.rows, report.bad_rows)
    assert good | bad == set(range(1, report.all_rows + 1))
    assert not good & bad


def test_placeholders_are_filled_once(tmp_path: Path) -> None:
    assert (
        fill("I am {{name}} of {{ author }}.", {"name": "{{author}}", "author": "Acme"}) == "I am {{author}} of Acme."
    )
    assert fill("{{{name}}} {{ a.b }}", {}) == "{{{name}}} {{ a.b }}"


def test_an_unfilled_placeholder_is_an_error() -> None:
    path = shared_data("identity.json")
    report = check(path, name=path.name)
    with pytest.raises(DatasetError) as raised:
        list(conversations(path, report, fills={"name": "Nova"}))
    assert raised.value.code == "unfilled_placeholder"
    assert raised.value.params == {"name": "author", "line": 2}


def test_the_demonstration_data_is_filled_everywhere() -> None:
    path = shared_data("identity.json")
    report = check(path, name=path.name)
    rows = list(conversations(path, report, fills={"name": "Nova", "author": "Acme"}))
    assert len(rows) == 91
    assert said(rows[0]) == [
        ("user", "hi"),
        ("assistant", "Hello! I am Nova, an AI assistant developed by Acme. How can I assist you today?"),
    ]
    assert not any("{{" in message.content for row in rows for message in row.messages)


def test_a_placeholder_can_be_kept_on_purpose() -> None:
    path = shared_data("identity.json")
    report = check(path, name=path.name)
    first = next(iter(conversations(path, report, fills=kept(report.placeholders))))
    assert "I am {{name}}, an AI assistant developed by {{author}}." in first.messages[1].content
