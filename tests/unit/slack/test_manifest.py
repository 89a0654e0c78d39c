"""The manifest has all that the face uses, within Slack's limits."""

from ruamel.yaml import YAML

from bot.commands import COMMANDS
from bot.slack.manifest import SCOPES, as_json_text, as_yaml, manifest
from bot.slack.words import SLASH_COMMANDS


def test_it_is_read_back_as_it_was_written() -> None:
    content = manifest()
    assert YAML(typ="safe").load(as_yaml(content)) == content
    assert YAML(typ="safe").load(as_json_text(content)) == content


def test_socket_mode_needs_no_address() -> None:
    content = manifest()
    assert content["settings"]["socket_mode_enabled"] is True
    assert "request_url" not in content["settings"]["interactivity"]
    assert all("url" not in command for command in content["features"]["slash_commands"])


def test_over_http_everything_goes_to_one_address() -> None:
    content = manifest(address="https://tune.example/", is_distributed=True)
    url = "https://tune.example/slack/events"
    assert content["settings"]["socket_mode_enabled"] is False
    assert content["settings"]["event_subscriptions"]["request_url"] == url
    assert content["settings"]["interactivity"]["request_url"] == url
    assert {command["url"] for command in content["features"]["slash_commands"]} == {url}
    assert content["oauth_config"]["redirect_urls"] == ["https://tune.example/slack/oauth_redirect"]
    assert content["settings"]["token_rotation_enabled"] is True


def test_every_slash_command_is_one_of_the_table() -> None:
    names = {command.name for command in COMMANDS}
    assert set(SLASH_COMMANDS) - {"tune"} <= names
    for command in manifest()["features"]["slash_commands"]:
        assert 0 < len(command["description"]) <= 2000
        assert len(command.get("usage_hint", "")) <= 1000


def test_it_keeps_slack_s_limits() -> None:
    content = manifest()
    assert len(content["display_information"]["name"]) <= 35
    assert len(content["display_information"]["description"]) <= 140
    assert len(content["features"]["agent_view"]["agent_description"]) <= 300
    assert len(content["features"]["agent_view"]["suggested_prompts"]) <= 4
    assert all(len(shortcut["name"]) <= 24 for shortcut in content["features"]["shortcuts"])
    assert all(len(shortcut["description"]) <= 150 for shortcut in content["features"]["shortcuts"])
    assert sorted(content["oauth_config"]["scopes"]["bot"]) == sorted(SCOPES)
