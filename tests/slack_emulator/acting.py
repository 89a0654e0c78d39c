"""What Slack sends when a person presses, chooses, submits or calls something."""

import time
from typing import TYPE_CHECKING, Any

from tests.slack_emulator.filling import option
from tests.slack_emulator.payloads import message_json, view_json
from tests.slack_emulator.state import Channel, Json, Refused, ResponseUrl, SlackMessage, Trigger, View
from tests.slack_emulator.words import elements, labels, plain

if TYPE_CHECKING:
    from tests.slack_emulator.people import Person

RESPONSE_URL_SECONDS = 1800
NAMES = {"im": "directmessage", "private": "privategroup"}


def find_element(blocks: list[Json], wanted: str, kinds: frozenset[str]) -> Json:
    """The element with that label or ``action_id``; for "" the first of its kind.

    Raises Refused where the person sees no such thing.
    """
    found = [element for element in elements(blocks) if element["type"] in kinds]
    for element in found:
        if wanted in labels(element):
            return element
    for element in found:
        if wanted in {"", element["action_id"]}:
            return element
    raise Refused("no_such_button", wanted=wanted, there=[label for each in found for label in labels(each)])


def pressed(element: Json, stamp: str) -> Json:
    """The ``actions`` entry of a button."""
    action = {"text": element["text"], "value": element.get("value"), **_named(element, stamp)}
    return {name: value for name, value in action.items() if value is not None}


def chosen(element: Json, wanted: str, stamp: str) -> Json:
    """The ``actions`` entry of a menu."""
    selected = option(element, wanted)
    if element["type"] == "checkboxes":
        return {"selected_options": [selected], **_named(element, stamp)}
    return {"selected_option": selected, **_named(element, stamp)}


def rated(element: Json, wanted: str, stamp: str) -> Json:
    """The ``actions`` entry of feedback buttons."""
    for name in ("positive_button", "negative_button"):
        button = element[name]
        if wanted in {button.get("value"), plain(button.get("text"))}:
            return {"value": button.get("value"), "text": button["text"], **_named(element, stamp)}
    raise Refused("no_such_button", wanted=wanted, there=labels(element))


def trigger(person: "Person", *, view: View | None = None) -> str:
    """A new ``trigger_id``: a growing number, the workspace's number, and a secret."""
    slack = person.slack
    trigger_id = f"{time.time_ns() // 10**6}{slack.ids.number()}.{person.workspace.team_number}.{slack.secret()}"
    slack.triggers[trigger_id] = Trigger(
        id=trigger_id,
        team_id=person.workspace.team_id,
        user=person.id,
        expires_at=time.monotonic() + slack.trigger_seconds,
        view_id=view.id if view else None,
    )
    return trigger_id


def response_url(person: "Person", channel: Channel, message: SlackMessage | None = None) -> str:
    """A new ``response_url``."""
    slack = person.slack
    secret = slack.secret()
    slack.response_urls[secret] = ResponseUrl(
        team_id=person.workspace.team_id,
        channel=channel.id,
        user=person.id,
        expires_at=time.monotonic() + RESPONSE_URL_SECONDS,
        message_ts=message.ts if message else None,
    )
    return f"{slack.address}/response/{person.workspace.team_id}/{secret}"


def slash_payload(person: "Person", channel: Channel, command: str, text: str) -> Json:
    """A slash command: a form, so every value is a string."""
    workspace = person.workspace
    return {
        "token": person.slack.verification_token,
        "team_id": workspace.team_id,
        "team_domain": workspace.domain,
        "channel_id": channel.id,
        "channel_name": NAMES.get(channel.kind, channel.name),
        "user_id": person.id,
        "user_name": person.handle,
        "command": command,
        "text": text,
        "api_app_id": person.slack.app_id,
        "is_enterprise_install": "false",
        "response_url": response_url(person, channel),
        "trigger_id": trigger(person),
    }


def message_action(person: "Person", channel: Channel, message: SlackMessage, action: Json) -> Json:
    """Something was pressed in a message."""
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": message.is_ephemeral,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = {
        **common(person, "block_actions"),
        "container": container,
        "trigger_id": trigger(person),
        "channel": {"id": channel.id, "name": NAMES.get(channel.kind, channel.name)},
        "state": {"values": {}},
        "response_url": response_url(person, channel, message),
        "actions": [action],
    }
    if not message.is_ephemeral:
        payload["message"] = message_json(person.workspace, message)
    return payload


def view_action(person: "Person", view: View, action: Json, values: Json) -> Json:
    """Something was pressed in a modal or at home."""
    return {
        **common(person, "block_actions"),
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": trigger(person, view=view if view.content["type"] == "modal" else None),
        "view": view_json(person.workspace, view, values),
        "state": {"values": values},
        "actions": [action],
    }


def submission(person: "Person", view: View, values: Json) -> Json:
    """A modal was submitted. It knows no channel and no thread."""
    return {
        **common(person, "view_submission"),
        "trigger_id": trigger(person, view=view),
        "view": view_json(person.workspace, view, values),
        "response_urls": [],
    }


def closing(person: "Person", view: View, *, is_cleared: bool) -> Json:
    """A modal was closed that asked to be told."""
    view_content = view_json(person.workspace, view)
    return {**common(person, "view_closed"), "view": view_content, "is_cleared": is_cleared}


def global_shortcut(person: "Person", callback_id: str) -> Json:
    """A shortcut that was called from anywhere."""
    stamp = person.slack.ids.stamp()
    return {
        **common(person, "shortcut"),
        "callback_id": callback_id,
        "action_ts": stamp,
        "trigger_id": trigger(person),
    }


def message_shortcut(person: "Person", channel: Channel, message: SlackMessage, callback_id: str) -> Json:
    """A shortcut in the menu of a message."""
    return {
        **common(person, "message_action"),
        "callback_id": callback_id,
        "action_ts": person.slack.ids.stamp(),
        "trigger_id": trigger(person),
        "response_url": response_url(person, channel),
        "message_ts": message.ts,
        "channel": {"id": channel.id, "name": NAMES.get(channel.kind, channel.name)},
        "message": message_json(person.workspace, message),
    }


def common(person: "Person", kind: str) -> Json:
    """What every interaction says."""
    workspace = person.workspace
    user = {"id": person.id, "username": person.handle, "name": person.handle, "team_id": workspace.team_id}
    return {
        "type": kind,
        "user": user,
        "api_app_id": person.slack.app_id,
        "token": person.slack.verification_token,
        "team": {"id": workspace.team_id, "domain": workspace.domain},
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _named(element: Json, stamp: str) -> dict[str, Any]:
    return {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": element["_block_id"],
        "action_ts": stamp,
    }
