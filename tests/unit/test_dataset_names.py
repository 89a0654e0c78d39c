"""Names of data sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.texts import LANGUAGES, texts
from training.datasets import InvalidName, parse_name, suggest_name


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("identity.json", "identity"),
        ("My Data (1).jsonl", "my-data-1"),
        ("客服.jsonl", "dataset"),
        ("客服 v2.jsonl", "v2"),
        ("Crème.JSON", "creme"),
        ("a" * 80 + ".json", "a" * 63),
        ("folder/x.json", "x"),
        ("", "dataset"),
    ],
)
def test_a_name_is_suggested(file_name: str, name: str) -> None:
    assert suggest_name(file_name) == name


def test_a_suggested_name_is_free() -> None:
    assert suggest_name("a.json", {"a", "a-2"}) == "a-3"
    long = "a" * 63
    assert suggest_name(f"{long}.json", {long}) == "a" * 61 + "-2"


@given(some.text(max_size=100))
def test_a_suggestion_is_always_a_name(file_name: str) -> None:
    assert parse_name(suggest_name(file_name)) == suggest_name(file_name)


def test_a_typed_name_is_trimmed_and_full_width_letters_are_taken() -> None:
    assert parse_name(" ｍｙ-data ") == "my-data"


@pytest.mark.parametrize(
    ("typed", "code"), [(" ", "empty"), ("a" * 64, "too_long"), ("客服数据", "characters"), ("a b", "characters")]
)
def test_a_wrong_name_is_told(typed: str, code: str) -> None:
    with pytest.raises(InvalidName) as raised:
        parse_name(typed)
    assert raised.value.code == code
    for language in LANGUAGES:
        assert texts(language)(f"name_error.{code}", **raised.value.params)
