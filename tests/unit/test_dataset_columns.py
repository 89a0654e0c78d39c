"""Which field is which column, and which format is which."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bot.texts import LANGUAGES, texts
from training.datasets import Column, DatasetError, check, conversations
from training.datasets.columns import choose_columns, detect_columns
from training.datasets.formats import Format, Use, recognise

DETECTED: Sequence[tuple[list[str], dict[str, str]]] = [
    (["instruction", "input", "output"], {"prompt": "instruction", "query": "input", "response": "output"}),
    (["Question", "Answer"], {"prompt": "Question", "response": "Answer"}),
    (
        ["prompt", "completion", "system_prompt"],
        {"prompt": "prompt", "response": "completion", "system": "system_prompt"},
    ),
    (["问题", "回答"], {"prompt": "问题", "response": "回答"}),
    (["input", "output"], {"prompt": "input", "response": "output"}),
    (["instruction", "prompt", "output"], {"prompt": "instruction", "response": "output"}),
]


@pytest.mark.parametrize(("fields", "columns"), DETECTED)
def test_columns_are_detected(fields: list[str], columns: dict[str, str]) -> None:
    assert detect_columns(fields) == columns


def test_what_the_person_gave_goes_over_what_was_detected() -> None:
    chosen = choose_columns(["instruction", "output", "better"], {"response": "better"})
    assert (chosen["prompt"], chosen["response"]) == ("instruction", "better")
    assert choose_columns(["instruction", "input", "output"], {"query": ""})["query"] == ""
    assert choose_columns(["input", "output"], {"prompt": "input", "query": ""})["prompt"] == "input"


WRONG: Sequence[tuple[dict[str, str], str]] = [
    ({"answer": "output"}, "unknown_column"),
    ({"response": ""}, "column_needed"),
    ({"query": "other", "system": "other"}, "field_used_twice"),
    ({"system": "nowhere"}, "column_missing"),
]


@pytest.mark.parametrize(("columns", "code"), WRONG)
def test_a_wrong_mapping_is_refused(tmp_path: Path, columns: Mapping[str, str], code: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "output": "b", "other": "c"}\n', encoding="utf-8")
    with pytest.raises(DatasetError) as raised:
        check(path, name=path.name, columns=columns)
    assert raised.value.code == code
    for language in LANGUAGES:
        assert texts(language)(f"dataset_error.{code}", **raised.value.params)


def test_fields_of_any_name_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"ask": "a", "say": "b", "also": "c"}\n', encoding="utf-8")
    report = check(path, name=path.name, columns={"prompt": "ask", "response": "say", "query": "also"})
    assert report.columns == {"prompt": "ask", "query": "also", "response": "say"}
    (conversation,) = conversations(path, report, fills={})
    assert [message.content for message in conversation.messages] == ["a\nc", "b"]


def test_the_mapping_of_a_report_says_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "input": "b", "output": "c"}\n', encoding="utf-8")
    report = check(path, name=path.name, columns={"query": ""})
    again = check(path, name=path.name, columns=report.columns)
    assert again.columns == report.columns == {"prompt": "instruction", "query": "", "response": "output"}
    assert report.problem_counts == {"unknown_field": 1}
    (conversation,) = conversations(path, again, fills={})
    assert conversation.messages[0].content == "a"


def test_an_optional_column_that_begins_late_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"instruction": str(n), "output": "b"} for n in range(100)]
    lines.append({"instruction": "a", "output": "b", "system": "Be Mira.", "history": [["q", "r"]]})  # type: ignore[dict-item]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report = check(path, name=path.name)
    assert report.problems == ()
    assert set(report.columns) == {"prompt", "response", "system", "history"}
    *_, last = conversations(path, report, fills={})
    assert [message.role for message in last.messages] == ["system", "user", "assistant", "user", "assistant"]


RECOGNISED: Sequence[tuple[list[str], Format, Use]] = [
    (["instruction", "output"], Format.ALPACA, Use.SFT),
    (["text"], Format.TEXT, Use.PRETRAIN),
    (["instruction", "input", "chosen", "rejected"], Format.ALPACA, Use.PREFERENCE),
    (["prompt", "chosen", "rejected"], Format.ALPACA, Use.PREFERENCE),
    (["instruction", "output", "kto_tag"], Format.ALPACA, Use.KTO),
    (["instruction", "output", "images"], Format.ALPACA, Use.MULTIMODAL),
    (["conversations"], Format.SHAREGPT, Use.SFT),
    (["conversations", "system", "tools"], Format.SHAREGPT, Use.SFT),
    (["conversations", "chosen", "rejected"], Format.SHAREGPT, Use.PREFERENCE),
    (["conversations", "kto_tag"], Format.SHAREGPT, Use.KTO),
    (["conversations", "images"], Format.SHAREGPT, Use.MULTIMODAL),
    (["messages"], Format.OPENAI, Use.SFT),
    (["messages", "label"], Format.OPENAI, Use.KTO),
]


@pytest.mark.parametrize(("fields", "form", "use"), RECOGNISED)
def test_formats_are_recognised(fields: list[str], form: Format, use: Use) -> None:
    found = recognise(fields)
    assert found is not None
    assert (found.format, found.use) == (form, use)


@pytest.mark.parametrize("fields", [["foo"], ["instruction"], ["label", "tweet"], []])
def test_unknown_fields_are_no_format(fields: list[str]) -> None:
    assert recognise(fields) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_formats_uses_and_columns_have_texts(language: str) -> None:
    speak = texts(language)
    for name in [*(f"format.{form}" for form in Format), *(f"use.{use}" for use in Use)]:
        assert speak(name)
    for column in Column:
        assert speak(f"column.{column}")
        sentence = speak("dataset_error.column_needed", column=speak(f"column.{column}"))
        assert column.value in sentence
