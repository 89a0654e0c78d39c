"""``response_url``: answers without a token, five times within half an hour."""

import time
from typing import TYPE_CHECKING

from aiohttp import web

from tests.slack_emulator.payloads import message_json
from tests.slack_emulator.showing import message_of
from tests.slack_emulator.state import Channel, Json, Refused, ResponseUrl, SlackMessage

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator
    from tests.slack_emulator.workspace import Workspace

KNOWN = frozenset(
    {"text", "blocks", "attachments", "response_type", "replace_original", "delete_original", "thread_ts", "metadata"}
) | {"unfurl_links", "unfurl_media", "mrkdwn"}


async def respond(slack: "SlackEmulator", request: web.Request) -> web.Response:
    """Show what the app answers."""
    url = slack.response_urls.get(request.match_info["secret"])
    if url is None or time.monotonic() > url.expires_at:
        return web.json_response({"ok": False, "error": "expired_url"}, status=404)
    if url.uses_left <= 0:
        return web.json_response({"ok": False, "error": "used_url"}, status=404)
    try:
        content = await request.json()
        unknown = sorted(set(content) - KNOWN)
        if unknown:
            raise Refused("invalid_arguments", unknown=unknown)
        _show(slack.workspaces[url.team_id], url, content)
    except Refused as refused:
        return web.json_response({"ok": False, "error": refused.error, **refused.more}, status=400)
    except ValueError:
        return web.json_response({"ok": False, "error": "invalid_payload"}, status=400)
    url.uses_left -= 1
    return web.json_response({"ok": True})


def _show(workspace: "Workspace", url: ResponseUrl, content: Json) -> None:
    channel = workspace.channels[url.channel]
    original = channel.messages.get(url.message_ts or "")
    if content.get("delete_original") and original is not None:
        workspace.delete(channel, original)
        return
    message = message_of(workspace, channel, content)
    if content.get("replace_original") and original is not None:
        _replace(workspace, channel, original, message)
        return
    if not message.text.strip() and not message.blocks:
        raise Refused("no_text")
    if content.get("response_type") != "in_channel":
        message.ephemeral_to = url.user
    message.thread_ts = content.get("thread_ts")
    workspace.stand(channel, message)


def _replace(workspace: "Workspace", channel: Channel, original: SlackMessage, new: SlackMessage) -> None:
    before = message_json(workspace, original)
    original.text, original.blocks = new.text, new.blocks
    workspace.change(channel, original, before)
