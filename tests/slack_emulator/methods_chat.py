"""Messages: ``chat.*``."""

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.checks import checked_markdown, checked_metadata
from tests.slack_emulator.payloads import message_json
from tests.slack_emulator.showing import message_of
from tests.slack_emulator.state import Channel, Json, Refused, SlackMessage

LOOK = "icon_emoji icon_url username link_names mrkdwn parse attachments"


@method(
    "chat.postMessage",
    required="channel",
    optional=f"text blocks markdown_text thread_ts reply_broadcast unfurl_links unfurl_media metadata as_user {LOOK}",
    scopes=("chat:write",),
)
def post_message(call: Call) -> Json:
    channel = call.channel_inside()
    if channel.refuses_posts:
        raise Refused(channel.refuses_posts)
    message = _message(call, channel)
    message.thread_ts = thread_of(call, channel)
    message.metadata = checked_metadata(call.get("metadata"))
    call.workspace.stand(channel, message)
    if message.thread_ts:
        channel.statuses.pop(message.thread_ts, None)
    shown = message_json(call.workspace, message, has_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown}


@method(
    "chat.postEphemeral",
    required="channel user",
    optional=f"text blocks markdown_text thread_ts as_user {LOOK}",
    scopes=("chat:write",),
    tier=4,
)
def post_ephemeral(call: Call) -> Json:
    channel = call.channel_inside()
    person = call.person()
    if person.id not in channel.members:
        raise Refused("user_not_in_channel")
    message = _message(call, channel)
    message.thread_ts, message.ephemeral_to = thread_of(call, channel), person.id
    call.workspace.stand(channel, message)
    return {"message_ts": message.ts}


@method(
    "chat.update",
    required="channel ts",
    optional=f"text blocks markdown_text metadata as_user file_ids reply_broadcast unfurl_links unfurl_media {LOOK}",
    scopes=("chat:write",),
    tier=3,
)
def update(call: Call) -> Json:
    channel = call.channel_inside()
    message = call.own_message(channel, "cant_update_message")
    if message.is_streaming:
        raise Refused("streaming_state_conflict")
    new = _message(call, channel)
    metadata = checked_metadata(call.get("metadata"))
    before = message_json(call.workspace, message, has_metadata=True)
    message.text, message.blocks, message.stream_ends_at = new.text, new.blocks, None
    message.metadata = metadata if metadata is not None else message.metadata
    message.edited_ts = call.slack.ids.stamp()
    call.workspace.change(channel, message, before)
    shown = message_json(call.workspace, message)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


@method("chat.delete", required="channel ts", optional="as_user", scopes=("chat:write",), tier=3)
def delete(call: Call) -> Json:
    channel = call.channel_inside()
    message = call.own_message(channel, "cant_delete_message")
    call.workspace.delete(channel, message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.getPermalink", required="channel message_ts")
def permalink(call: Call) -> Json:
    channel = call.channel()
    message = channel.messages.get(str(call.get("message_ts")))
    if message is None:
        raise Refused("message_not_found")
    link = f"{call.slack.address}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def thread_of(call: Call, channel: Channel) -> str | None:
    """The thread that is answered in.

    Slack takes a ``thread_ts`` that is a reply, or no message at all, and shows something odd; here it is refused.
    """
    wanted = call.get("thread_ts")
    if wanted is None:
        return None
    root = channel.messages.get(str(wanted))
    if root is None or root.thread_ts or root.is_ephemeral:
        raise Refused("thread_not_found")
    return root.ts


def _message(call: Call, channel: Channel) -> SlackMessage:
    markdown = call.get("markdown_text")
    if markdown is not None and (call.get("text") or call.get("blocks")):
        raise Refused("markdown_text_conflict")
    if markdown is not None:
        text = checked_markdown(markdown)
        return message_of(call.workspace, channel, {"text": text, "blocks": [{"type": "markdown", "text": text}]})
    message = message_of(call.workspace, channel, call.arguments)
    if not message.text.strip() and not message.blocks:
        raise Refused("no_text")
    return message
