"""Events, messages, files and views as Slack writes them."""

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.slack_emulator.state import Channel, File, Json, SlackMessage, View

if TYPE_CHECKING:
    from tests.slack_emulator.workspace import Workspace


def file_json(file: File, address: str) -> Json:
    """A file; ``address``: the emulator's own, without a slash at its end."""
    name = quote(file.name)
    where = f"{address}/files-pri/{file.team_id}-{file.id}"
    return {
        "id": file.id,
        "created": int(file.created),
        "timestamp": int(file.created),
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": file.mimetype,
        "filetype": file.name.rpartition(".")[2].lower() if "." in file.name else "text",
        "pretty_type": "Plain Text",
        "user": file.user,
        "user_team": file.team_id,
        "editable": False,
        "size": file.size,
        "mode": "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": False,
        "url_private": f"{where}/{name}",
        "url_private_download": f"{where}/download/{name}",
        "permalink": f"{address}/files/{file.user}/{file.id}/{name}",
        "channels": sorted(file.channels),
        "file_access": "visible",
    }


def message_json(workspace: "Workspace", message: SlackMessage, *, has_metadata: bool = False) -> Json:
    """A message, as in the answers of the Web API."""
    content: Json = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": workspace.team_id,
    }
    if message.bot_id:
        content |= {"bot_id": message.bot_id, "app_id": workspace.slack.app_id, "bot_profile": bot_profile(workspace)}
    elif message.client_msg_id:
        content["client_msg_id"] = message.client_msg_id
    blocks = message.blocks or ([] if message.bot_id or not message.text else [_rich_text(message.text)])
    optional: Json = {
        "subtype": message.subtype,
        "blocks": blocks,
        "files": [file_json(file, workspace.slack.address) for file in message.files],
        "edited": {"user": message.user, "ts": message.edited_ts} if message.edited_ts else None,
        "metadata": message.metadata if has_metadata else None,
    }
    content |= {name: value for name, value in optional.items() if value}
    return content | _thread(workspace, message)


def message_event(workspace: "Workspace", channel: Channel, message: SlackMessage) -> Json:
    """The ``message`` event of a new message."""
    event = message_json(workspace, message, has_metadata=True)
    for name in ("reply_count", "reply_users_count", "latest_reply", "reply_users", "subscribed"):
        event.pop(name, None)
    if message.files and not message.bot_id:
        event["upload"] = False
    return event | {"channel": channel.id, "channel_type": channel.event_kind, "event_ts": message.ts}


def changed_event(workspace: "Workspace", channel: Channel, message: SlackMessage, before: Json) -> Json:
    """The event of an edited message."""
    return _hidden(workspace, channel, "message_changed") | {
        "message": message_json(workspace, message, has_metadata=True),
        "previous_message": before,
    }


def deleted_event(workspace: "Workspace", channel: Channel, before: Json) -> Json:
    """The event of a deleted message."""
    return _hidden(workspace, channel, "message_deleted") | {"previous_message": before, "deleted_ts": before["ts"]}


def callback(workspace: "Workspace", event: Json) -> Json:
    """An event in its wrapping."""
    return {
        "token": workspace.slack.verification_token,
        "team_id": workspace.team_id,
        "context_team_id": workspace.team_id,
        "context_enterprise_id": None,
        "api_app_id": workspace.slack.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": workspace.slack.ids.new("Ev"),
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": workspace.team_id,
                "user_id": workspace.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": workspace.slack.ids.new("4-"),
    }


def view_json(workspace: "Workspace", view: View, values: Json | None = None) -> Json:
    """A view; ``values``: what stands in its inputs."""
    content: Json = {
        "id": view.id,
        "team_id": workspace.team_id,
        "state": {"values": values or {}},
        "hash": view.hash,
        "previous_view_id": view.previous_id,
        "root_view_id": view.root_id,
        "app_id": workspace.slack.app_id,
        "external_id": "",
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.bot_id,
        "private_metadata": "",
        "callback_id": "",
        "title": None,
        "submit": None,
        "close": None,
        "clear_on_close": False,
        "notify_on_close": False,
    }
    return content | view.content


def bot_profile(workspace: "Workspace") -> Json:
    """Who wrote a message of the app."""
    return {
        "id": workspace.bot_id,
        "app_id": workspace.slack.app_id,
        "name": workspace.slack.app_name,
        "team_id": workspace.team_id,
        "deleted": False,
    }


def _thread(workspace: "Workspace", message: SlackMessage) -> Json:
    channel = workspace.channels[message.channel]
    if message.thread_ts:
        root = channel.messages.get(message.thread_ts)
        return {"thread_ts": message.thread_ts, "parent_user_id": root.user if root else ""}
    replies = [each for each in channel.messages.values() if each.thread_ts == message.ts and not each.is_ephemeral]
    if not replies:
        return {}
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users": sorted({each.user for each in replies}),
        "reply_users_count": len({each.user for each in replies}),
        "latest_reply": replies[-1].ts,
        "subscribed": True,
    }


def _hidden(workspace: "Workspace", channel: Channel, subtype: str) -> Json:
    stamp = workspace.slack.ids.stamp()
    return {
        "type": "message",
        "subtype": subtype,
        "hidden": True,
        "channel": channel.id,
        "channel_type": channel.event_kind,
        "ts": stamp,
        "event_ts": stamp,
    }


def _rich_text(text: str) -> Json:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "block_id": "words", "elements": [section]}
