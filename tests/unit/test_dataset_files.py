"""How rows lie in a file, in which encoding; and files that are refused by name."""

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.texts import LANGUAGES, texts
from training.datasets import DatasetError, check, conversations, rows
from training.datasets.files import HEAD_BYTES

ROWS = [{"instruction": f"问题 {n}?", "input": "", "output": f"Answer {n}: 好的"} for n in range(40)]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=2)


def zipped(inner: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(inner, "x")
    return buffer.getvalue()


def answers(path: Path, name: str) -> list[str]:
    report = check(path, name=name)
    return [conversation.messages[-1].content for conversation in conversations(path, report, fills={})]


READ: Sequence[tuple[str, str, bytes, list[str]]] = [
    ("lines", "a.jsonl", LINES.encode(), []),
    ("lines with returns", "a.jsonl", LINES.replace("\n", "\r\n").encode(), []),
    ("empty lines", "a.jsonl", b"\n \n" + LINES.replace("\n", "\n\n").encode() + b"\n\n\n", []),
    ("upper case", "A.JSONL", LINES.encode(), []),
    ("array", "a.json", ARRAY.encode(), []),
    ("array on one line", "a.json", json.dumps(ROWS).encode(), []),
    ("byte order mark", "a.jsonl", LINES.encode("utf-8-sig"), []),
    ("byte order mark, array", "a.json", ARRAY.encode("utf-8-sig"), []),
    ("lines in .json", "a.json", LINES.encode(), ["lines_in_json"]),
    ("array in .jsonl", "a.jsonl", ARRAY.encode(), ["array_in_jsonl"]),
    ("wrapped", "a.json", json.dumps({"data": ROWS, "version": 1}, indent=1).encode(), ["wrapped_rows"]),
    ("wrapped on one line", "a.json", json.dumps({"rows": ROWS}).encode(), ["wrapped_rows"]),
    (
        "objects over lines",
        "a.jsonl",
        "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
        ["objects_over_lines"],
    ),
    ("utf-16", "a.jsonl", LINES.encode("utf-16"), ["encoding"]),
    ("utf-16, array", "a.json", ARRAY.encode("utf-16"), ["encoding"]),
    ("utf-16, big end first", "a.json", b"\xfe\xff" + ARRAY.encode("utf-16-be"), ["encoding"]),
    ("utf-32", "a.jsonl", LINES.encode("utf-32"), ["encoding"]),
    ("utf-16 without mark", "a.jsonl", LINES.encode("utf-16-le"), ["encoding"]),
    ("gb18030", "a.jsonl", LINES.encode("gb18030"), ["encoding"]),
    ("gb18030, array", "a.json", ARRAY.encode("gb18030"), ["encoding"]),
]


@pytest.mark.parametrize(("name", "content", "notes"), [case[1:] for case in READ], ids=[case[0] for case in READ])
@pytest.mark.parametrize("chunk_bytes", [7, 1 << 18])
def test_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, notes: list[str], chunk_bytes: int
) -> None:
    monkeypatch.setattr(rows, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "file"
    path.write_bytes(content)
    report = check(path, name=name)
    assert answers(path, name) == [row["output"] for row in ROWS]
    assert [note.code for note in report.notes] == notes
    assert (report.sha256, report.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    for language in LANGUAGES:
        for note in report.notes:
            assert texts(language)(f"dataset_note.{note.code}", **note.params)


REFUSED: Sequence[tuple[str, bytes, str]] = [
    ("a.jsonl", b"", "empty_file"),
    ("a.jsonl", b"\n \n", "empty_file"),
    ("a.json", b"\xef\xbb\xbf", "empty_file"),
    ("a.json", b"[]", "no_rows"),
    ("a.json", b' {"data": [ ] }', "no_rows"),
    ("a.txt", LINES.encode(), "file_type"),
    ("data", LINES.encode(), "file_type"),
    ("a.jsonl", b"<!DOCTYPE html><html><title>Sign in</title>", "is_web_page"),
    ("a.json", zipped("data.jsonl"), "is_archive"),
    ("a.jsonl.gz", gzip.compress(LINES.encode()), "is_archive"),
    ("a.xlsx", zipped("xl/workbook.xml"), "is_spreadsheet"),
    ("a.parquet", b"PAR1\x15\x04", "is_parquet"),
    ("a.json", b"%PDF-1.7", "is_document"),
    ("a.json", b"\x89PNG\r\n", "is_picture"),
    ("a.gguf", b"GGUF\x03\0\0\0", "is_model"),
    ("a.json", bytes(range(256)) * 8, "is_binary"),
    ("a.csv", b"instruction,output\nwho,nova\n", "is_table"),
    ("a.json", b"instruction,output\nwho,nova\n", "is_table"),
    ("a.jsonl", b"Once upon a time\nthere was\n", "is_text"),
    ("a.json", b'["a", "b"]', "rows_are_no_objects"),
    ("a.jsonl", b'{"foo": 1, "bar": 2}\n', "unknown_format"),
]


@pytest.mark.parametrize(("name", "content", "code"), REFUSED)
def test_a_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as raised:
        check(path, name=name)
    assert raised.value.code == code
    for language in LANGUAGES:
        assert texts(language)(f"dataset_error.{code}", **raised.value.params)


def test_another_encoding_is_refused_with_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        "\n".join('{"instruction": "Où?", "output": "À côté, déjà été élevé"}' for _ in range(9)).encode("cp1252")
    )
    with pytest.raises(DatasetError) as raised:
        check(path, name=path.name)
    assert raised.value.code == "unknown_encoding"


BROKEN: Sequence[tuple[str, tuple[int, int, int, str]]] = [
    ('[\n{"instruction": "a", "output": "b"}\n{"instruction": "c"}]', (3, 1, 1, "comma")),
    ('[{"instruction": "a", "output": "b"},\n  {"instruction": "c" "output": "d"}]', (2, 23, 2, "comma")),
    ('[{"instruction": "a", "output": "b"}', (1, 37, 1, "list_not_closed")),
    ('[{"instruction": "a", "output": "b"},\n{"instruction": "a", "out', (2, 22, 2, "truncated")),
    ('[{"instruction": "a", "output": "b"},\n]', (2, 1, 2, "trailing_comma")),
    ('[{"instruction": "a", "output": "b"}]\n[1]', (2, 1, 1, "after_the_list")),
    ("[{'instruction': 'a'}]", (1, 3, 1, "single_quotes")),
    ('[{"instruction": ' + "[" * 100_000 + "]", (1, 2, 1, "nested_too_deep")),
]


@pytest.mark.parametrize(("content", "where"), BROKEN)
@pytest.mark.parametrize("chunk_bytes", [64, 1 << 18])
def test_a_broken_list_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, where: tuple[int, int, int, str], chunk_bytes: int
) -> None:
    monkeypatch.setattr(rows, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError) as raised:
        check(path, name=path.name)
    params = raised.value.params
    assert raised.value.code == "broken_json"
    assert (params["line"], params["position"], params["row"], params["reason"]) == where
    for language in LANGUAGES:
        assert texts(language)(f"json_reason.{params['reason']}")


def test_a_list_that_stops_being_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    good = "\n".join(json.dumps(row, ensure_ascii=False) + "," for row in ROWS)
    path.write_bytes(b"[" + good.encode() + b'\n{"instruction": "\xff", "output": "b"}]')
    with pytest.raises(DatasetError) as raised:
        check(path, name=path.name)
    assert (raised.value.code, raised.value.params) == ("not_utf8", {"line": len(ROWS) + 1})


def test_a_row_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_ROW_BYTES", 1000)
    for name, opening in (("a.jsonl", ""), ("a.json", "[")):
        path = tmp_path / name
        path.write_text(opening + '{"instruction": "' + "x" * 2 * HEAD_BYTES, encoding="utf-8")
        with pytest.raises(DatasetError) as raised:
            check(path, name=name)
        assert raised.value.code == "row_too_long"


def test_lines_inside_a_list_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bad = [{"instruction": "a", "output": n} for n in range(3)]
    path.write_text("\n\n[\n" + ",\n".join(json.dumps(row, indent=2) for row in bad) + "]", encoding="utf-8")
    assert [(problem.line, problem.row) for problem in check(path, name="a.json").problems] == [(4, 1), (8, 2), (12, 3)]
