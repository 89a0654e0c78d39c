"""Slack's payloads as arrivals."""

from typing import Any

import pytest

from bot.slack.arrivals import ARRIVALS, from_command, from_event, from_shortcut
from bot.slack.places import Place, read_place


def event(**changes: Any) -> dict[str, Any]:
    said = {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "ts": "2.1", "text": "hello"}
    return {"team_id": "T1", "event": {**said, **changes}}


def test_a_word_in_a_channel_is_not_said_to_us() -> None:
    assert from_event(event(), app_user="UBOT") is None


def test_a_word_in_a_thread_counts_where_the_thread_is_ours() -> None:
    arrival = from_event(event(thread_ts="1.0"), app_user="UBOT")
    assert arrival is not None
    assert arrival.must_be_ours
    assert arrival.place == Place(team="T1", channel="C1", root="1.0")
    assert read_place(arrival.line) == arrival.place


def test_a_mention_is_the_same_word_however_it_is_told() -> None:
    told = [
        from_event(event(type=kind, text="<@UBOT> finetune"), app_user="UBOT") for kind in ("message", "app_mention")
    ]
    assert told[0] == told[1]
    assert told[0] is not None
    assert (told[0].text, told[0].root, told[0].must_be_ours) == ("/finetune", "2.1", False)


def test_every_direct_message_begins_a_thread() -> None:
    arrival = from_event(event(channel="D1", channel_type="im"), app_user="UBOT")
    assert arrival is not None
    assert arrival.place == Place(team="T1", channel="D1", root="2.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"bot_id": "B1"},
        {"user": "UBOT"},
        {"subtype": "message_changed"},
        {"subtype": "message_deleted"},
        {"subtype": "channel_join"},
        {"user": None},
    ],
)
def test_what_nobody_says_is_left_alone(changes: dict[str, Any]) -> None:
    assert from_event(event(channel="D1", channel_type="im", **changes), app_user="UBOT") is None


def test_files_come_along_and_everything_can_be_kept() -> None:
    files = [
        {"id": "F1", "name": "a.jsonl", "size": 12, "url_private_download": "https://files.slack.com/a"},
        {"id": "F2", "file_access": "check_file_info"},
    ]
    arrival = from_event(event(subtype="file_share", files=files, thread_ts="1.0"), app_user="UBOT")
    assert arrival is not None
    assert [(file.name, file.size_bytes, file.url) for file in arrival.files] == [
        ("a.jsonl", 12, "https://files.slack.com/a"),
        ("", None, None),
    ]
    assert ARRIVALS.validate_python(ARRIVALS.dump_python(arrival, mode="json")) == arrival


def test_a_command_begins_a_thread_of_its_own() -> None:
    body = {
        "team_id": "T1",
        "user_id": "U1",
        "channel_id": "C1",
        "command": "/tune",
        "text": "runs",
        "trigger_id": "1.2.ab",
        "response_url": "http://x",
    }
    arrival = from_command(body)
    assert (arrival.text, arrival.place, arrival.response_url) == ("/runs", None, "http://x")
    assert from_command({**body, "trigger_id": "1.3.ab"}).line != arrival.line


def test_the_shortcut_of_a_message_takes_its_files_into_its_thread() -> None:
    body = {
        "team": {"id": "T1"},
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
        "trigger_id": "1.2.ab",
        "message": {"ts": "5.0", "files": [{"id": "F1", "name": "a.json", "size": 3, "url_private": "https://f"}]},
    }
    arrival = from_shortcut(body)
    assert arrival.place == Place(team="T1", channel="C1", root="5.0")
    assert [file.name for file in arrival.files] == ["a.json"]
    everywhere = from_shortcut({key: value for key, value in body.items() if key not in {"message", "channel"}})
    assert (everywhere.channel, everywhere.place, everywhere.text) == (None, None, "/finetune")
