"""Channels, people, and what stands in threads: ``conversations.*``, ``users.*``."""

import base64
from typing import TYPE_CHECKING

from tests.slack_emulator.api import KINDS, Call, method
from tests.slack_emulator.payloads import message_json
from tests.slack_emulator.state import Channel, Json, Refused, SlackMessage

if TYPE_CHECKING:
    from tests.slack_emulator.people import Person

ANY_HISTORY = tuple(f"{kind}:history" for kind in KINDS.values())
ANY_READ = tuple(f"{kind}:read" for kind in KINDS.values())
MOST_REPLIES = 1000
MOST_HISTORY = 999
HARD_MOST = 15
PAGING = "cursor inclusive latest limit oldest include_all_metadata"


@method(
    "conversations.info", required="channel", optional="include_locale include_num_members", scopes=ANY_READ, tier=3
)
def info(call: Call) -> Json:
    channel = call.channel()
    call.need_scope("read", channel)
    return {"channel": _channel_json(channel)}


@method("conversations.open", optional="users channel return_im prevent_creation", scopes=("im:write",), tier=3)
def open_direct(call: Call) -> Json:
    wanted = call.get("users")
    users = wanted if isinstance(wanted, list) else [name for name in str(wanted or "").split(",") if name]
    if len(users) != 1:
        raise Refused("users_list_not_supplied" if not users else "too_many_users")
    person = call.workspace.users.get(users[0].strip())
    if person is None:
        raise Refused("user_not_found")
    return {"channel": _channel_json(person.dm) if call.flag("return_im") else {"id": person.dm.id}}


@method("conversations.replies", required="channel ts", optional=PAGING, scopes=ANY_HISTORY, tier=3)
def replies(call: Call) -> Json:
    channel = call.channel_inside()
    call.need_scope("history", channel)
    root = channel.messages.get(str(call.get("ts")))
    if root is None or root.is_ephemeral:
        raise Refused("thread_not_found")
    below = [each for each in _visible(channel) if each.thread_ts == root.ts]
    answer = _page(call, [each for each in below if _is_wanted(call, each)], MOST_REPLIES, 1000)
    if not call.get("cursor"):
        # Slack shows the root first, whatever the times asked for.
        shown = message_json(call.workspace, root, has_metadata=call.flag("include_all_metadata"))
        answer["messages"].insert(0, shown)
    return answer


@method("conversations.history", required="channel", optional=PAGING, scopes=ANY_HISTORY, tier=3)
def history(call: Call) -> Json:
    channel = call.channel_inside()
    call.need_scope("history", channel)
    found = [each for each in _visible(channel) if each.thread_ts is None and _is_wanted(call, each)]
    return _page(call, found[::-1], MOST_HISTORY, 100)


@method("users.info", required="user", optional="include_locale", scopes=("users:read",), tier=4)
def user_info(call: Call) -> Json:
    if call.get("user") == call.workspace.bot_user_id:
        return {"user": _user_json(call, None)}
    return {"user": _user_json(call, call.person())}


@method("users.list", optional="cursor limit include_locale", scopes=("users:read",), tier=2)
def users_list(call: Call) -> Json:
    people: list[Person | None] = [None, *call.workspace.users.values()]
    first = int(base64.b64decode(str(call.get("cursor") or "")) or 0)
    last = first + max(1, call.number("limit", 1000))
    more = base64.b64encode(str(last).encode()).decode() if last < len(people) else ""
    members = [_user_json(call, person) for person in people[first:last]]
    return {"members": members, "response_metadata": {"next_cursor": more}}


def _user_json(call: Call, person: "Person | None") -> Json:
    """A person; None stands for the app itself."""
    workspace = call.workspace
    name = person.name if person else call.slack.app_name
    content: Json = {
        "id": person.id if person else workspace.bot_user_id,
        "team_id": workspace.team_id,
        "name": name.lower().replace(" ", "."),
        "real_name": name,
        "deleted": False,
        "is_admin": bool(person and person.is_admin),
        "is_bot": person is None,
        "tz": "Etc/UTC",
        "profile": {"real_name": name, "display_name": name, "team": workspace.team_id},
    }
    return content | ({"locale": person.locale if person else "en-US"} if call.flag("include_locale") else {})


def _channel_json(channel: Channel) -> Json:
    content: Json = {
        "id": channel.id,
        "name": channel.name,
        "is_channel": channel.kind == "public",
        "is_group": channel.kind == "private",
        "is_im": channel.kind == "im",
        "is_private": channel.kind != "public",
        "is_member": channel.has_bot,
        "is_archived": False,
    }
    if channel.kind == "im":
        content.pop("name")
        content["user"] = next(iter(channel.members))
    return content


def _visible(channel: Channel) -> list[SlackMessage]:
    messages = sorted(channel.messages.values(), key=lambda message: message.ts)
    return [message for message in messages if not message.is_ephemeral]


def _is_wanted(call: Call, message: SlackMessage) -> bool:
    oldest, latest = float(call.get("oldest") or 0), float(call.get("latest") or "inf")
    stamp = float(message.ts)
    if call.flag("inclusive"):
        return oldest <= stamp <= latest
    return oldest < stamp < latest


def _page(call: Call, found: list[SlackMessage], most: int, default: int) -> Json:
    if call.slack.has_hard_history_limits:
        most = default = HARD_MOST
    limit = call.number("limit", default)
    if not 1 <= limit <= most:
        raise Refused("invalid_limit")
    begin = _cursor(call)
    page = found[begin : begin + limit]
    has_more = begin + limit < len(found)
    has_metadata = call.flag("include_all_metadata")
    answer: Json = {
        "messages": [message_json(call.workspace, each, has_metadata=has_metadata) for each in page],
        "has_more": has_more,
    }
    if has_more:
        cursor = base64.b64encode(f"next:{begin + limit}".encode()).decode()
        answer["response_metadata"] = {"next_cursor": cursor}
    return answer


def _cursor(call: Call) -> int:
    wanted = call.get("cursor")
    if not wanted:
        return 0
    try:
        return int(base64.b64decode(str(wanted)).decode().removeprefix("next:"))
    except ValueError as error:
        raise Refused("invalid_cursor") from error
