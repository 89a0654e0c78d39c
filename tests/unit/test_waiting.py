"""What a message waits for, as a person reads it."""

import pytest

from bot.routing import NotReadyError, Waiting
from bot.serving_problems import not_ready_sentence, waiting_sentence
from bot.texts import LANGUAGES, texts


def test_a_place_in_the_queue_is_a_number_and_the_first_is_told_so() -> None:
    english, chinese = texts("en"), texts("zh-CN")
    assert waiting_sentence(english, Waiting(code="queue", params={"place": 2})) == "The model is busy: 2 before you."
    assert waiting_sentence(english, Waiting(code="queue", params={"place": 0})) == "The model is busy. You are next."
    assert "2" in waiting_sentence(chinese, Waiting(code="queue", params={"place": 2}))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ["waking", "starting", "loading", "returning"])
def test_every_code_has_a_sentence(language: str, code: str) -> None:
    text = texts(language)
    assert waiting_sentence(text, Waiting(code=code)) == text(f"chat.waiting.{code}")
    assert waiting_sentence(text, Waiting(code=code, params={"host": "unheard-of"})) == text(f"chat.waiting.{code}")


def test_what_cannot_come_is_a_sentence() -> None:
    english = texts("en")
    assert "5 min" in not_ready_sentence(english, NotReadyError("chat.not_ready", seconds=300.0))
    assert "three times" in not_ready_sentence(english, NotReadyError("host", reason="killed"))
    assert "ended" in not_ready_sentence(english, NotReadyError("chat.gone"))
