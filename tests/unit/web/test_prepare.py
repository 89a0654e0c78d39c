"""Chainlit's folder is made from ours, and nothing of it asks a foreign host for anything."""

import json
import re
import sys
from pathlib import Path

import pytest

from bot.settings import Settings
from bot.texts import LANGUAGES, texts
from chainlit_app.lean import NoTracing
from chainlit_app.page import localised
from chainlit_app.prepare import CONFIG, PUBLIC, make_public, prepare, translation
from tests.web_chainlit import HOME


def test_elements_get_their_common_part(tmp_path: Path) -> None:
    make_public(tmp_path / "public")
    made = tmp_path / "public" / "elements"
    common = (PUBLIC / "elements" / "common.jsx").read_text(encoding="utf-8")
    assert not (made / "common.jsx").exists()
    for element in made.glob("*.jsx"):
        source = element.read_text(encoding="utf-8")
        assert source.startswith(common)
        assert f'export default show("{element.stem}", {element.stem})' in source


def test_nothing_of_ours_names_a_foreign_host() -> None:
    for path in PUBLIC.rglob("*"):
        if path.is_file():
            addresses = re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8"))
            assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path.name
    assert not re.search(r"https?://", CONFIG)


def test_nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("CHAINLIT_APP_ROOT", "CHAINLIT_AUTH_SECRET", "CHAINLIT_AUTH_COOKIE_NAME"):
        monkeypatch.setenv(name, "")
    prepare(Settings(home=tmp_path / "home"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["secret", "web"]


def test_chainlit_took_our_configuration() -> None:
    from chainlit.config import APP_ROOT, config

    assert Path(APP_ROOT) == HOME / "web"
    assert config.ui.name == "Tunesmith"
    assert not config.features.edit_message
    assert config.project.allow_origins == []


def test_no_tracing_is_loaded() -> None:
    assert sys.modules["literalai.client"].__dict__["Traceloop"] is NoTracing


@pytest.mark.parametrize("language", LANGUAGES)
def test_chainlit_s_words_are_there_and_some_are_ours(language: str) -> None:
    words = json.dumps(translation(language), ensure_ascii=False)
    for name in ("web.composer", "web.commands", "web.footer"):
        assert texts(language)(name) in words


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_asks_no_foreign_host(language: str) -> None:
    from chainlit.server import get_html_template

    template = get_html_template("")  # type: ignore[no-untyped-call]
    assert "https://" in template
    html = localised(template, language)
    assert not re.search(r"https?://", html)
    assert f'<html lang="{language}">' in html
    assert "tunesmith-greeting" in html
