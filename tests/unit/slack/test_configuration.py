"""Half a set-up is refused with what is missing; a whole one says which way is meant."""

from typing import Any

import pytest

from bot.settings import read_settings
from bot.slack.configuration import Ways, ways
from bot.stopping import CannotGoOnError
from bot.texts import LANGUAGES, texts
from tests.slack_emulator.methods_files import MOST_BYTES

BOT, APP, SECRET = {"slack_bot_token": "xoxb-1"}, {"slack_app_token": "xapp-1"}, {"slack_signing_secret": "s"}
CLIENT = {"slack_client_id": "1.2", "slack_client_secret": "c"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({**BOT, **APP}, Ways(is_socket=True, is_distributed=False)),
        ({**BOT, **SECRET}, Ways(is_socket=False, is_distributed=False)),
        ({**CLIENT, **SECRET, "encryption_keys": "k"}, Ways(is_socket=False, is_distributed=True)),
        ({**CLIENT, **APP, **SECRET, "encryption_keys": "k"}, Ways(is_socket=True, is_distributed=True)),
    ],
)
def test_a_whole_set_up(given: dict[str, Any], meant: Ways) -> None:
    settings = read_settings(**given)
    assert settings.has_slack
    assert ways(settings) == meant


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (BOT, "TUNESMITH_SLACK_APP_TOKEN"),
        (APP, "TUNESMITH_SLACK_BOT_TOKEN"),
        ({**APP, "slack_client_id": "1.2"}, "TUNESMITH_SLACK_CLIENT_SECRET"),
        ({**SECRET, **CLIENT}, "TUNESMITH_ENCRYPTION_KEYS"),
    ],
)
def test_half_a_set_up_says_what_is_missing(given: dict[str, Any], missing: str, language: str) -> None:
    with pytest.raises(CannotGoOnError) as refused:
        ways(read_settings(**given))
    assert missing in texts(language)(f"cannot.{refused.value.code}", **refused.value.values)


def test_names_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_SLACK_ADMINS", "U1, U2,")
    settings = read_settings()
    assert settings.slack_admins == ("U1", "U2")
    assert settings.slack_channels == ()
    assert not settings.has_slack


def test_tokens_are_in_no_picture_of_the_settings() -> None:
    assert "xoxb-1" not in repr(read_settings(**BOT))


def test_no_file_that_slack_takes_is_too_large() -> None:
    assert read_settings().max_upload_bytes >= MOST_BYTES
