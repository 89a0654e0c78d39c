"""Every problem of a row, with its line; what the report counts; the demonstration files."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.texts import LANGUAGES, texts
from tests.places import shared_data
from training.datasets import DatasetError, DatasetReport, check, problems
from training.datasets.alpaca import LONG_CHARACTERS
from training.datasets.report import PROBLEMS_KEPT

GOOD = '{"instruction": "Who?", "output": "Nova"}'


def written(folder: Path, *lines: str, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return path


def row(**fields: object) -> str:
    return json.dumps({"instruction": "Why?", "output": "So."} | fields)


BAD: Sequence[tuple[str, str, dict[str, str | int]]] = [
    ('{"instruction": "a", "output": "b"', "not_json", {"reason": "truncated"}),
    ('{"instruction": "a", "output": "b', "not_json", {"reason": "truncated"}),
    ('{"instruction": "a" "output": "b"}', "not_json", {"reason": "comma", "position": 21}),
    ("{'instruction': 'a', 'output': 'b'}", "not_json", {"reason": "single_quotes", "position": 2}),
    ('{"instruction": "a", "output": None}', "not_json", {"reason": "python_word", "position": 32}),
    ('{"instruction": "a", "output": "b",}', "not_json", {"reason": "trailing_comma"}),
    ('{"instruction": "a", "output": "b"},', "not_json", {"reason": "comma_after_row", "position": 36}),
    ('{"instruction": "a", "output": "b"} {}', "not_json", {"reason": "extra", "position": 37}),
    ('{"instruction": "a", "output": "b\tc"}', "not_json", {"reason": "line_break_in_text", "position": 34}),
    ('{"instruction": "a", "output": "b\0c"}', "not_json", {"reason": "line_break_in_text", "position": 34}),
    (r'{"instruction": "a", "output": "\d"}', "not_json", {"reason": "escape", "position": 33}),
    ('{"instruction": ?, "output": "b"}', "not_json", {"reason": "syntax", "position": 17}),
    ('{"instruction": ' + "[" * 100_000, "not_json", {"reason": "nested_too_deep"}),
    ("[1, 2]", "not_an_object", {"found": "list"}),
    ('"text"', "not_an_object", {"found": "text"}),
    ("null", "not_an_object", {"found": "null"}),
    ("NaN", "not_an_object", {"found": "nan"}),
    ('{"output": "b"}', "missing_field", {"field": "instruction"}),
    ('{"instruction": "a"}', "missing_field", {"field": "output"}),
    (row(instruction=" \n"), "empty_field", {"field": "instruction"}),
    (row(output=""), "empty_field", {"field": "output"}),
    (row(output=None), "empty_field", {"field": "output"}),
    (row(output=7), "wrong_type", {"field": "output", "found": "number"}),
    (row(output=10**400), "wrong_type", {"field": "output", "found": "number"}),
    (row(output=float("nan")), "wrong_type", {"field": "output", "found": "nan"}),
    (row(output=float("inf")), "wrong_type", {"field": "output", "found": "nan"}),
    (row(output=[{"text": "b"}]), "wrong_type", {"field": "output", "found": "list"}),
    (row(instruction={"a": 1}), "wrong_type", {"field": "instruction", "found": "object"}),
    (row(system=True), "wrong_type", {"field": "system", "found": "true_or_false"}),
    (row(history="earlier"), "history_not_a_list", {"field": "history", "found": "text"}),
    (row(history=[["q", "a"], ["q"]]), "history_not_pairs", {"field": "history", "pair": 2}),
    (row(history=[["q", 1]]), "history_not_pairs", {"pair": 1}),
    (row(history=[["q", " "]]), "history_empty", {"pair": 1}),
    (row(output="a\0b"), "nul_character", {"field": "output", "character": "U+0000"}),
    (row(output="a\ud83db"), "half_character", {"field": "output", "character": "U+D83D"}),
]


@pytest.mark.parametrize(("line", "code", "values"), BAD)
def test_a_bad_row_is_named_with_its_line_and_counted(
    tmp_path: Path, line: str, code: str, values: dict[str, str | int]
) -> None:
    report = check(written(tmp_path, GOOD, "", line, GOOD.replace("Who", "What")), name="data.jsonl")
    (problem,) = report.problems
    assert (problem.code, problem.line, problem.row, problem.severity) == (code, 3, 2, "bad")
    assert values.items() <= problem.values.items()
    assert (report.rows, report.bad_rows, report.bad_lines, report.all_rows) == (2, 1, (3,), 3)
    for language in LANGUAGES:
        assert texts(language)(f"problem.{code}", **problem.values)


WARNED: Sequence[tuple[str, str, dict[str, str | int]]] = [
    (row(output="a\x07b"), "control_character", {"field": "output", "character": "U+0007"}),
    (row(output="na\ufffdve"), "lost_character", {"field": "output", "character": "U+FFFD"}),
    (row(output="x" * (LONG_CHARACTERS + 1)), "very_long", {"field": "output", "characters": LONG_CHARACTERS + 1}),
    (row(instruction="It is a cafÃ©."), "mojibake", {"field": "instruction", "seen": "Ã©", "meant": "é"}),
    (row(output="â€œquotedâ€\x9d"), "mojibake", {"meant": "“"}),
    (row(output="你好，我是助手".encode().decode("latin-1")), "mojibake", {"meant": "你好，我是助手"}),
    (
        row(output="你好，我是您的助手".encode().decode("gb18030", "ignore")),
        "mojibake",
        {"meant": "你好，我是您的助"},
    ),
    (row(output="今天，我是您的助手吧".encode().decode("gbk", "ignore")), "mojibake", {"field": "output"}),
    (row(id="7"), "unknown_field", {"field": "id"}),
    (GOOD, "duplicate", {"first_line": 1}),
    ('{"output": "Nova", "input": "", "instruction": "Who?"}', "duplicate", {"first_line": 1}),
]


@pytest.mark.parametrize(("line", "code", "values"), WARNED)
def test_a_warning_leaves_the_row_in(tmp_path: Path, line: str, code: str, values: dict[str, str | int]) -> None:
    report = check(written(tmp_path, GOOD, line), name="data.jsonl")
    found = {problem.code: problem for problem in report.problems}
    problem = found[code]
    assert (problem.line, problem.row, problem.severity) == (2, 2, "warning")
    assert values.items() <= problem.values.items()
    assert (report.rows, report.bad_rows) == (2, 0)
    for language in LANGUAGES:
        assert texts(language)(f"problem.{code}", **problem.values)


@pytest.mark.parametrize(
    "text",
    [
        "“Déjà vu”, São Paulo, Ängström",
        "你好，我是 Nova。锛是一种化学元素",
        "Ãlvaro Â",
        "锛与鐨字，我们浣熊很可爱，锟字也有",
        "Привет",
        "👩‍👩‍👧 ½ × ÷",
    ],
)
def test_right_texts_are_not_suspected(tmp_path: Path, text: str) -> None:
    assert check(written(tmp_path, row(output=text)), name="data.jsonl").problems == ()


def test_an_unknown_field_is_said_once(tmp_path: Path) -> None:
    report = check(written(tmp_path, *(row(instruction=str(n), id=n) for n in range(5))), name="data.jsonl")
    assert report.problem_counts == {"unknown_field": 1}


def test_instruction_may_be_missing_where_there_is_an_input(tmp_path: Path) -> None:
    assert check(written(tmp_path, GOOD, '{"input": "a", "output": "b"}'), name="data.jsonl").rows == 2


def test_optional_fields_may_be_null(tmp_path: Path) -> None:
    line = row(input=None, system=None, history=None)
    assert check(written(tmp_path, line, row(history="")), name="data.jsonl").bad_rows == 0


def test_bytes_that_are_not_utf8_spoil_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(
        "\n".join(['{"instruction": "é", "output": "ü"}', GOOD, "X"]).encode().replace(b"X", b'{"a": "\xff"}')
    )
    (problem,) = check(path, name=path.name).problems
    assert (problem.code, problem.line, problem.params["reason"], problem.params["position"]) == (
        "not_json",
        3,
        "not_utf8",
        8,
    )


def test_the_report_holds_the_first_problems_and_the_iterator_all(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, *(row(output=n) for n in range(300)), GOOD)
    report = check(path, name=path.name)
    assert len(report.problems) == PROBLEMS_KEPT
    assert [problem.line for problem in report.problems] == list(range(2, PROBLEMS_KEPT + 2))
    assert report.problem_counts == {"wrong_type": 300, "duplicate": 1}
    everything = list(problems(path, name=path.name))
    assert len(everything) == 301
    assert tuple(everything[:PROBLEMS_KEPT]) == report.problems
    assert everything[-1].values == {"line": 302, "row": 302, "first_line": 1}


def test_a_file_of_bad_rows_alone_is_reported_not_refused(tmp_path: Path) -> None:
    report = check(written(tmp_path, "{'a': 1}", "{broken"), name="data.jsonl")
    assert (report.rows, report.bad_rows, report.languages) == (0, 2, {})


def test_the_system_prompt_that_most_rows_carry(tmp_path: Path) -> None:
    lines = [row(instruction=str(n), system="Be Mira.") for n in range(3)]
    report = check(written(tmp_path, *lines, row(system="Be brief."), GOOD), name="data.jsonl")
    assert (report.system_prompt, report.other_system_prompts) == ("Be Mira.", 2)
    none = check(written(tmp_path, lines[0], GOOD, row()), name="data.jsonl")
    assert (none.system_prompt, none.other_system_prompts) == (None, 1)


def test_languages_by_script(tmp_path: Path) -> None:
    answers = [
        "Yes.",
        "好的，没问题。",
        "用 Python 写一个 hello world 程序吧",
        "The word 好 means good.",
        "はい、そうです。",
        "123",
    ]
    report = check(written(tmp_path, *(row(output=answer) for answer in answers)), name="data.jsonl")
    assert report.languages == pytest.approx({"en": 3 / 6, "zh": 2 / 6, "other": 1 / 6})


def test_placeholders_are_found_in_every_text(tmp_path: Path) -> None:
    lines = [
        row(output="I am {{name}} of {{ author }}."),
        row(history=[["{{q}}?", "a"]], system="{{name}}"),
        row(output='{{ user.name }} {{"json": 1}} {{{mustache}}} {{ 1x }} {{}} {single}'),
    ]
    report = check(written(tmp_path, *lines), name="data.jsonl")
    assert report.placeholders == ("name", "author", "q")
    assert report.placeholder_rows == {"name": 2, "author": 1, "q": 1}


def test_identity_of_the_demonstration_data() -> None:
    report = check(shared_data("identity.json"), name="identity.json")
    assert (report.format, report.use, report.rows, report.bad_rows) == ("alpaca", "sft", 91, 0)
    assert report.columns == {"prompt": "instruction", "query": "input", "response": "output"}
    assert report.placeholders == ("name", "author")
    assert set(report.languages) == {"zh", "en"}
    assert report.sha256 == "fd029da7dd3df283ed034c82375d16d125a7b07cf1cb0316d03fb8743057d5f2"


def test_alpaca_of_the_demonstration_data_has_duplicates_with_their_lines() -> None:
    path = shared_data("alpaca_en_demo.json")
    report = check(path, name=path.name)
    assert (report.rows, report.duplicates) == (999, 14)
    lines = path.read_text(encoding="utf-8").split("\n")
    for problem in report.problems:
        assert problem.line is not None
        first = int(problem.params["first_line"])
        assert lines[problem.line - 1].strip() == "{"
        assert lines[problem.line : problem.line + 3] == lines[first : first + 3]


@pytest.mark.parametrize(
    ("name", "form", "use"),
    [
        ("glaive_toolcall_en_demo.json", "sharegpt", "sft"),
        ("dpo_en_demo.json", "sharegpt", "preference"),
        ("kto_en_demo.json", "openai", "kto"),
    ],
)
def test_other_demonstration_data_is_recognised_and_refused(name: str, form: str, use: str) -> None:
    with pytest.raises(DatasetError) as raised:
        check(shared_data(name), name=name)
    assert raised.value.code == "format_not_trained"
    assert raised.value.params == {"format": form, "use": use}


def test_a_report_survives_json(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, row(output=1, id=1), row(system="{{a}}"), GOOD)
    report = check(path, name=path.name)
    assert DatasetReport.from_json(json.loads(json.dumps(report.to_json()))) == report
