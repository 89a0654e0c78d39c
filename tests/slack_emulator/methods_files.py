"""Files of the app: ``files.*``."""

import time

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.methods_chat import thread_of
from tests.slack_emulator.payloads import file_json
from tests.slack_emulator.showing import message_of
from tests.slack_emulator.state import File, Json, Refused

MOST_BYTES = 1 << 30


@method(
    "files.getUploadURLExternal",
    required="filename length",
    optional="alt_txt snippet_type",
    scopes=("files:write",),
    tier=4,
)
def get_upload_url(call: Call) -> Json:
    size = call.number("length", 0)
    if not 0 < size <= MOST_BYTES:
        raise Refused("invalid_arguments")
    workspace = call.workspace
    file = File(
        id=call.slack.ids.new("F"),
        team_id=workspace.team_id,
        name=str(call.get("filename")),
        size=size,
        user=workspace.bot_user_id,
    )
    secret = call.slack.secret()
    call.slack.uploads[secret] = file
    return {"file_id": file.id, "upload_url": f"{call.slack.address}/upload/v1/{secret}"}


@method(
    "files.completeUploadExternal",
    required="files",
    optional="channel_id channels initial_comment thread_ts blocks highlight_type",
    scopes=("files:write",),
    tier=4,
)
def complete_upload(call: Call) -> Json:
    files = [_uploaded(call, each) for each in call.get("files") or ()]
    if not files:
        raise Refused("invalid_arguments")
    if call.get("channel_id"):
        channel = call.channel_inside("channel_id")
        content = {"text": call.get("initial_comment"), "blocks": call.get("blocks")}
        message = message_of(call.workspace, channel, content)
        message.thread_ts, message.files = thread_of(call, channel), files
        call.workspace.stand(channel, message)
    for file in files:
        call.slack.files[file.id] = file
        file.ready_at = time.monotonic() + call.slack.looking_seconds
    return {"files": [file_json(file, call.slack.address) for file in files]}


@method("files.info", required="file", optional="count cursor limit page", scopes=("files:read",), tier=4)
def info(call: Call) -> Json:
    return {"file": file_json(_visible(call), call.slack.address), "comments": []}


@method("files.delete", required="file", scopes=("files:write",), tier=3)
def delete(call: Call) -> Json:
    file = _visible(call)
    if file.user != call.workspace.bot_user_id:
        raise Refused("cant_delete_file")
    file.is_deleted, file.data = True, b""
    return {}


def _uploaded(call: Call, wanted: Json) -> File:
    for file in call.slack.uploads.values():
        if file.id == wanted.get("id") and file.team_id == call.workspace.team_id and file.data is not None:
            file.title = str(wanted.get("title") or file.name)
            return file
    raise Refused("file_not_found")


def _visible(call: Call) -> File:
    file = call.slack.files.get(str(call.get("file")))
    if file is None or file.team_id != call.workspace.team_id or not call.workspace.file_is_visible_to_bot(file):
        raise Refused("file_not_found")
    if file.is_deleted:
        raise Refused("file_deleted")
    return file
