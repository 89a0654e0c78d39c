"""Both catalogues are complete, alike in their placeholders, and hold exactly what the code says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from bot.texts import FOLDER, LANGUAGES, Texts, nearest_language

PACKAGES = ("bot", "chainlit_app", "serving", "storage", "training")
ROOT = Path(__file__).parents[2]


def read(language: str) -> Catalog:
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


def forms(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Message id -> all its forms."""
    return {
        message.id if isinstance(message.id, str) else message.id[0]: (
            (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
        )
        for message in catalog
        if message.id
    }


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


CATALOGUES = {language: forms(read(language)) for language in LANGUAGES}


def test_both_languages_have_the_same_messages() -> None:
    english, chinese = CATALOGUES["en"], CATALOGUES["zh-CN"]
    assert english.keys() == chinese.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_has_all_its_forms(language: str) -> None:
    empty = [message_id for message_id, texts in CATALOGUES[language].items() if not all(texts)]
    assert empty == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_stands_twice(language: str) -> None:
    ids = re.findall(r'^msgid "(.+)"$', (FOLDER / f"{language}.po").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))


def test_placeholders_are_equal_in_both_languages() -> None:
    unequal = {
        message_id: [sorted(wanted), sorted(found)]
        for message_id, texts in CATALOGUES["en"].items()
        if (wanted := set().union(*map(placeholders, texts)))
        != (found := set().union(*map(placeholders, CATALOGUES["zh-CN"].get(message_id, texts))))
    }
    assert unequal == {}


def said(tree: ast.AST) -> Iterator[str]:
    """Every string literal, as a regular expression; what an f-string puts in may be anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.escape(node.value)
        elif isinstance(node, ast.JoinedStr) and len(node.values) > 1:
            parts = (
                re.escape(part.value) if isinstance(part, ast.Constant) and isinstance(part.value, str) else r"[\w.-]+"
                for part in node.values
            )
            yield "".join(parts)


def test_every_message_is_said_somewhere() -> None:
    literals = {
        literal
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for literal in said(ast.parse(path.read_text(encoding="utf-8")))
    }
    composed = [re.compile(literal) for literal in literals if re.match(r"\w+\\\.", literal) and "[" in literal]
    unsaid = [
        message_id
        for message_id in CATALOGUES["en"]
        if re.escape(message_id) not in literals and not any(pattern.fullmatch(message_id) for pattern in composed)
    ]
    assert unsaid == []


@pytest.mark.parametrize(("wanted", "ours"), [("zh-TW", "zh-CN"), ("zh", "zh-CN"), ("en-GB", "en"), ("fr", "en")])
def test_nearest_language(wanted: str, ours: str) -> None:
    assert nearest_language(wanted) == ours


def test_a_missing_text_is_an_error() -> None:
    with pytest.raises(KeyError, match="no text"):
        Texts("en")("no.such.text")
