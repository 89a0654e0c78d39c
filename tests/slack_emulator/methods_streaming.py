"""Messages that grow: ``chat.startStream``, ``chat.appendStream``, ``chat.stopStream``."""

import time

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.checks import checked_blocks, checked_markdown, checked_metadata
from tests.slack_emulator.methods_chat import thread_of
from tests.slack_emulator.payloads import message_json
from tests.slack_emulator.state import Channel, Json, Refused, SlackMessage

MOST_CHARACTERS = 12_000
"""Slack names this limit for one call. That it also holds for the whole message is our cautious reading."""
MOST_BLOCKS = 50
CHUNKS = {
    "markdown_text": ({"text"}, {"text"}),
    "task_update": ({"id", "title", "status"}, {"id", "title", "status", "details", "output", "sources"}),
    "plan_update": ({"title"}, {"title"}),
    "blocks": ({"blocks"}, {"blocks"}),
}
"""Kind of chunk -> the fields it needs, and all that it may have."""
TASK_STATES = frozenset({"pending", "in_progress", "complete", "error"})


@method(
    "chat.startStream",
    required="channel thread_ts",
    optional="markdown_text chunks recipient_user_id recipient_team_id task_display_mode icon_emoji icon_url username",
    scopes=("chat:write",),
    tier=2,
)
def start(call: Call) -> Json:
    channel = call.channel_inside()
    thread = thread_of(call, channel)
    _check_recipient(call, channel)
    workspace = call.workspace
    message = SlackMessage(
        ts=call.slack.ids.stamp(),
        channel=channel.id,
        user=workspace.bot_user_id,
        bot_id=workspace.bot_id,
        thread_ts=thread,
        stream_ends_at=time.monotonic() + call.slack.stream_seconds,
    )
    _grow(call, message)
    workspace.stand(channel, message)
    channel.statuses.pop(str(thread), None)
    return {"channel": channel.id, "ts": message.ts}


@method(
    "chat.appendStream",
    required="channel ts",
    optional="markdown_text chunks",
    scopes=("chat:write",),
    tier=4,
)
def append(call: Call) -> Json:
    channel, message = _streaming(call)
    if call.get("markdown_text") is None and not call.get("chunks"):
        raise Refused("no_text")
    _grow(call, message)
    call.slack.changes.note()
    return {"channel": channel.id, "ts": message.ts}


@method(
    "chat.stopStream",
    required="channel ts",
    optional="markdown_text chunks blocks metadata session_status",
    scopes=("chat:write",),
    tier=2,
)
def stop(call: Call) -> Json:
    channel, message = _streaming(call)
    last = checked_blocks(call.workspace, call.get("blocks"))
    metadata = checked_metadata(call.get("metadata"))
    _grow(call, message)
    message.blocks += last
    message.metadata = metadata
    message.stream_ends_at = None
    # Our reading: the app hears of the message once it is whole, and not of every piece.
    call.workspace.tell(channel, message)
    call.slack.changes.note()
    return {"channel": channel.id, "ts": message.ts, "message": message_json(call.workspace, message)}


def _check_recipient(call: Call, channel: Channel) -> None:
    """In channels Slack streams to somebody who is there."""
    if channel.kind == "im":
        return
    if not call.get("recipient_user_id"):
        raise Refused("missing_recipient_user_id")
    if not call.get("recipient_team_id"):
        raise Refused("missing_recipient_team_id")
    if call.get("recipient_user_id") not in channel.members:
        raise Refused("user_not_found")
    if call.get("recipient_team_id") != call.workspace.team_id:
        raise Refused("team_not_found")


def _streaming(call: Call) -> tuple[Channel, SlackMessage]:
    channel = call.channel_inside()
    message = call.own_message(channel, "message_not_owned_by_app")
    if not message.is_streaming:
        raise Refused("message_not_in_streaming_state")
    return channel, message


def _grow(call: Call, message: SlackMessage) -> None:
    """Add what a call brings, all of it or nothing."""
    chunks = [_checked_chunk(call, chunk) for chunk in call.get("chunks") or ()]
    if call.get("markdown_text") is not None:
        chunks.insert(0, {"type": "markdown_text", "text": checked_markdown(call.get("markdown_text"))})
    characters = sum(len(chunk["text"]) for chunk in chunks if chunk["type"] == "markdown_text")
    if message.streamed_characters + characters > MOST_CHARACTERS:
        raise Refused("msg_too_long")
    blocks = [dict(block) for block in message.blocks]
    for chunk in chunks:
        _add(call, blocks, chunk)
    if len(blocks) > MOST_BLOCKS:
        raise Refused("msg_blocks_too_long")
    message.blocks = blocks
    message.streamed_characters += characters
    message.text += "".join(chunk["text"] for chunk in chunks if chunk["type"] == "markdown_text")


def _checked_chunk(call: Call, chunk: object) -> Json:
    if not isinstance(chunk, dict) or chunk.get("type") not in CHUNKS:
        raise Refused("invalid_chunks")
    needed, known = CHUNKS[chunk["type"]]
    if not needed <= chunk.keys() or chunk.keys() - known - {"type"}:
        raise Refused("invalid_chunks", chunk=chunk["type"])
    if chunk["type"] == "markdown_text":
        checked_markdown(chunk["text"])
    if chunk["type"] == "task_update" and chunk["status"] not in TASK_STATES:
        raise Refused("invalid_chunks", chunk=chunk["type"])
    if chunk["type"] == "blocks":
        return {**chunk, "blocks": checked_blocks(call.workspace, chunk["blocks"])}
    return chunk


def _add(call: Call, blocks: list[Json], chunk: Json) -> None:
    if chunk["type"] == "blocks":
        blocks.extend(chunk["blocks"])
    elif chunk["type"] == "markdown_text":
        if not blocks or blocks[-1]["type"] != "markdown":
            blocks.append({"type": "markdown", "text": "", "block_id": call.slack.secret()[:5]})
        blocks[-1]["text"] += chunk["text"]
    elif chunk["type"] == "task_update":
        card = {"type": "task_card", "task_id": chunk["id"], "title": chunk["title"], "status": chunk["status"]}
        known = next((block for block in blocks if block.get("task_id") == chunk["id"]), None)
        if known is None:
            blocks.append({**card, "block_id": call.slack.secret()[:5]})
        else:
            known.update(card)
    else:
        blocks[:] = [block for block in blocks if block["type"] != "plan"]
        blocks.insert(0, {"type": "plan", "title": chunk["title"], "block_id": call.slack.secret()[:5]})
