"""What a person sees in the workspace, as JSON for the page."""

from typing import TYPE_CHECKING

from tests.slack_emulator.state import Channel, Json, SlackMessage, View

if TYPE_CHECKING:
    from tests.slack_emulator.api import CallRecord
    from tests.slack_emulator.emulator import SlackEmulator
    from tests.slack_emulator.people import Person

MOST_REFUSALS = 50
"""Of the app's refused calls, the newest."""


def snapshot(slack: "SlackEmulator", person: "Person", channel: Channel) -> Json:
    """All that a person sees who looks at a channel; and for the builder of the app, which calls were refused."""
    workspace = person.workspace
    channels = [each for each in workspace.channels.values() if person.id in each.members]
    people = {user.id: user.name for user in workspace.users.values()}
    features = slack.manifest["features"]
    return {
        "version": slack.changes.version,
        "workspace": workspace.name,
        "app": slack.app_name,
        "is_connected": bool(slack.delivery.sockets or slack.delivery.url),
        "person": person.id,
        "people": [_person(user) for each in slack.workspaces.values() for user in each.users.values()],
        "names": people | {workspace.bot_user_id: slack.app_name} | {each.id: each.name for each in channels},
        "channels": [_entry(each, person) for each in channels],
        "channel": _channel(channel, person),
        "home": person.home.blocks if person.home else None,
        "views": [_view(view) for view in person.views],
        "prompts": person.suggested_prompts,
        "commands": features.get("slash_commands", []),
        "shortcuts": features.get("shortcuts", []),
        "refused": [_refusal(call) for call in reversed(slack.calls) if call.error][:MOST_REFUSALS],
    }


def _person(person: "Person") -> Json:
    return {"id": person.id, "name": person.name, "locale": person.locale, "workspace": person.workspace.name}


def _entry(channel: Channel, person: "Person") -> Json:
    """A channel as it stands at the side; ``latest``: the stamp of the newest message that the person sees."""
    seen = _seen(channel, person)
    return {
        "id": channel.id,
        "name": channel.name,
        "kind": channel.kind,
        "latest": seen[-1].ts if seen else "",
    }


def _channel(channel: Channel, person: "Person") -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "kind": channel.kind,
        "messages": [_message(message) for message in _seen(channel, person)],
        "statuses": channel.statuses,
    }


def _seen(channel: Channel, person: "Person") -> list[SlackMessage]:
    seen = (each for each in channel.messages.values() if each.ephemeral_to in {None, person.id})
    return sorted(seen, key=lambda message: message.ts)


def _message(message: SlackMessage) -> Json:
    files = [{"id": file.id, "name": file.name, "size": file.size, "mimetype": file.mimetype} for file in message.files]
    return {
        "ts": message.ts,
        "thread_ts": message.thread_ts,
        "user": message.user,
        "is_app": message.bot_id is not None,
        "text": message.text,
        "blocks": message.blocks,
        "files": files,
        "is_edited": message.edited_ts is not None,
        "is_streaming": message.is_streaming,
        "is_ephemeral": message.is_ephemeral,
    }


def _view(view: View) -> Json:
    shown = {name: (view.content.get(name) or {}).get("text") for name in ("title", "submit", "close")}
    return {"id": view.id, "hash": view.hash, "blocks": view.blocks, "errors": view.errors, **shown}


def _refusal(call: "CallRecord") -> Json:
    why = call.answer.get("needed") or call.answer.get("reason") or ""
    messages = (call.answer.get("response_metadata") or {}).get("messages") or ()
    return {"at": call.at, "method": call.method, "error": call.error, "why": "\n".join(filter(None, [why, *messages]))}
