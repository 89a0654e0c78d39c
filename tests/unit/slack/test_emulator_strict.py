"""What Slack would refuse, the emulator refuses, driven with Slack's own client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import Channel, Person, SlackEmulator, Workspace, acting
from tests.unit.slack.bolt_app import web_client


@dataclass(frozen=True, kw_only=True)
class Site:
    """A workspace with a person and a channel, and a client of the app."""

    slack: SlackEmulator
    workspace: Workspace
    ann: Person
    general: Channel
    client: AsyncWebClient


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with SlackEmulator(speed=0) as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann", locale="zh-CN")
        general = workspace.add_channel("general", members=(ann,))
        client = web_client(slack, workspace.bot_token)
        yield Site(slack=slack, workspace=workspace, ann=ann, general=general, client=client)


async def refused(call: Awaitable[Any]) -> dict[str, Any]:
    """What the answer of a call says that is refused."""
    with pytest.raises(SlackApiError) as caught:
        await call
    data = caught.value.response.data
    assert isinstance(data, dict)
    return data


BAD_BLOCKS: dict[str, list[dict[str, Any]]] = {
    "unknown type": [{"type": "hologram"}],
    "empty actions": [{"type": "actions", "elements": []}],
    "unknown field": [{"type": "divider", "colour": "red"}],
    "too long": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
    "too many": [{"type": "divider"}] * 51,
    "markdown": [{"type": "markdown", "text": "x" * 12_001}],
    "no such file": [{"type": "image", "alt_text": "curve", "slack_file": {"id": "F0"}}],
    "unreadable": [{"type": "actions", "elements": "none"}],
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
async def test_bad_blocks_are_refused(site: Site, name: str) -> None:
    answer = await refused(site.client.chat_postMessage(channel=site.general.id, text="t", blocks=BAD_BLOCKS[name]))
    assert answer["error"] == "invalid_blocks"
    assert answer["response_metadata"]["messages"]
    assert site.workspace.channel_messages(site.general) == []


async def test_unknown_methods_and_arguments_are_refused(site: Site) -> None:
    assert (await refused(site.client.api_call("chat.shout")))["error"] == "unknown_method"
    answer = await refused(site.client.chat_postMessage(channel=site.general.id, text="t", colour="red"))
    assert answer["response_metadata"]["messages"] == ["[ERROR] unknown argument: colour"]
    answer = await refused(site.client.api_call("chat.update", json={"channel": site.general.id}))
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: ts"]


async def test_tokens_and_scopes(site: Site) -> None:
    assert (await refused(web_client(site.slack, "xoxb-wrong").auth_test()))["error"] == "invalid_auth"
    assert (await refused(web_client(site.slack, site.slack.app_token).auth_test()))[
        "error"
    ] == "not_allowed_token_type"
    small = site.slack.add_workspace("Small", scopes=("chat:write",))
    bob = small.add_user("Bob")
    client = web_client(site.slack, small.bot_token)
    answer = await refused(client.users_info(user=bob.id))
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", "users:read", "chat:write")
    assert (await client.auth_test()).headers["x-oauth-scopes"] == "chat:write"
    assert (await refused(client.chat_postMessage(channel=site.general.id, text="t")))["error"] == "channel_not_found"


async def test_channels_without_the_app(site: Site) -> None:
    public = site.workspace.add_channel("public", members=(site.ann,), has_bot=False)
    private = site.workspace.add_channel("private", members=(site.ann,), has_bot=False, is_private=True)
    assert (await refused(site.client.chat_postMessage(channel=public.id, text="t")))["error"] == "not_in_channel"
    assert (await refused(site.client.chat_postMessage(channel=private.id, text="t")))["error"] == "channel_not_found"
    assert (await site.client.conversations_info(channel=public.id))["channel"]["is_member"] is False
    assert (await refused(site.client.conversations_info(channel=private.id)))["error"] == "channel_not_found"


async def test_messages_are_edited_by_their_author_alone(site: Site) -> None:
    stamp = await site.ann.post(site.general, "mine")
    channel = site.general.id
    assert (await refused(site.client.chat_update(channel=channel, ts=stamp, text="t")))[
        "error"
    ] == "cant_update_message"
    assert (await refused(site.client.chat_delete(channel=channel, ts=stamp)))["error"] == "cant_delete_message"
    assert (await refused(site.client.chat_update(channel=channel, ts="1.0", text="t")))["error"] == "message_not_found"
    assert (await refused(site.client.api_call("chat.postMessage", json={"channel": channel, "text": " "})))[
        "error"
    ] == "no_text"
    answer = await refused(site.client.chat_postMessage(channel=channel, text="t", thread_ts="1.0"))
    assert answer["error"] == "thread_not_found"


async def test_triggers_are_good_once_and_for_a_moment(site: Site) -> None:
    view = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Hello"},
        "blocks": [{"type": "divider"}],
    }
    first = acting.trigger(site.ann)
    await site.client.views_open(trigger_id=first, view=view)
    assert (await refused(site.client.views_open(trigger_id=first, view=view)))["error"] == "exchanged_trigger_id"
    assert (await refused(site.client.views_open(trigger_id="1.2.3", view=view)))["error"] == "invalid_trigger_id"
    site.slack.trigger_seconds = 0.0
    late = acting.trigger(site.ann)
    assert (await refused(site.client.views_open(trigger_id=late, view=view)))["error"] == "expired_trigger_id"


async def test_views_are_checked_and_conflicts_seen(site: Site) -> None:
    home: dict[str, Any] = {"type": "home", "blocks": [{"type": "divider"}]}
    first = (await site.client.views_publish(user_id=site.ann.id, view=home))["view"]
    await site.client.views_publish(user_id=site.ann.id, view=home, hash=first["hash"])
    answer = await refused(site.client.views_publish(user_id=site.ann.id, view=home, hash=first["hash"]))
    assert answer["error"] == "hash_conflict"
    wrong = {**home, "blocks": [{"type": "table", "rows": []}]}
    assert (await refused(site.client.views_publish(user_id=site.ann.id, view=wrong)))["error"] == "invalid_arguments"
    assert site.ann.home is not None
    assert site.ann.home.blocks[0]["type"] == "divider"


async def test_a_stream_grows_and_ends(site: Site) -> None:
    root = await site.ann.post(site.general, "question")
    channel, client = site.general.id, site.client
    answer = await refused(client.chat_startStream(channel=channel, thread_ts=root))
    assert answer["error"] == "missing_recipient_user_id"
    head = [{"type": "context", "elements": [{"type": "mrkdwn", "text": "● nova"}]}]
    started = await client.chat_startStream(
        channel=channel,
        thread_ts=root,
        recipient_user_id=site.ann.id,
        recipient_team_id=site.workspace.team_id,
        chunks=[{"type": "blocks", "blocks": head}],
    )
    stamp = started["ts"]
    await client.chat_appendStream(channel=channel, ts=stamp, markdown_text="Hello **")
    await client.chat_appendStream(channel=channel, ts=stamp, chunks=[{"type": "markdown_text", "text": "you**"}])
    message = site.workspace.thread(site.general, root)[-1]
    assert message.is_streaming
    assert message.words == "● nova\nHello **you**"
    answer = await refused(client.chat_update(channel=channel, ts=stamp, text="t"))
    assert answer["error"] == "streaming_state_conflict"
    answer = await refused(client.chat_appendStream(channel=channel, ts=stamp, markdown_text="x" * 12_000))
    assert answer["error"] == "msg_too_long"
    await client.chat_stopStream(
        channel=channel, ts=stamp, metadata={"event_type": "answer", "event_payload": {"id": "1"}}
    )
    answer = await refused(client.chat_appendStream(channel=channel, ts=stamp, markdown_text="more"))
    assert answer["error"] == "message_not_in_streaming_state"
    await client.chat_update(channel=channel, ts=stamp, text="whole")
    assert message.words == "whole"
    assert message.metadata == {"event_type": "answer", "event_payload": {"id": "1"}}


async def test_a_stream_expires(site: Site) -> None:
    site.slack.stream_seconds = 0.05
    root = await site.ann.post(site.ann.dm, "question")
    started = await site.client.chat_startStream(channel=site.ann.dm.id, thread_ts=root, markdown_text="Hel")
    message = site.ann.dm.messages[started["ts"]]
    assert await site.slack.changes.until(lambda: not message.is_streaming, within_s=60)
    answer = await refused(site.client.chat_appendStream(channel=site.ann.dm.id, ts=message.ts, markdown_text="lo"))
    assert answer["error"] == "message_not_in_streaming_state"
    await site.client.chat_update(channel=site.ann.dm.id, ts=message.ts, text="Hello")
    assert message.words == "Hello"


async def test_threads_are_read_with_their_metadata(site: Site) -> None:
    root = await site.ann.post(site.general, "root")
    named = {"event_type": "part", "event_payload": {"number": 1}}
    for number in range(3):
        await site.client.chat_postMessage(
            channel=site.general.id, thread_ts=root, text=str(number), metadata=named if number == 1 else None
        )
    await site.client.chat_postEphemeral(channel=site.general.id, user=site.ann.id, thread_ts=root, text="psst")
    found = await site.client.conversations_replies(channel=site.general.id, ts=root, include_all_metadata=True)
    assert [message["text"] for message in found["messages"]] == ["root", "0", "1", "2"]
    assert [message.get("metadata") for message in found["messages"]] == [None, None, named, None]
    assert found["messages"][0]["reply_count"] == 3
    hidden = await site.client.conversations_replies(channel=site.general.id, ts=root)
    assert "metadata" not in hidden["messages"][2]
    page = await site.client.conversations_replies(channel=site.general.id, ts=root, limit=2)
    assert page["has_more"]
    rest = await site.client.conversations_replies(
        channel=site.general.id, ts=root, limit=2, cursor=page["response_metadata"]["next_cursor"]
    )
    assert [message["text"] for message in rest["messages"]] == ["2"]
    history = await site.client.conversations_history(channel=site.general.id)
    assert [message["ts"] for message in history["messages"]] == [root]


async def test_people_have_a_language(site: Site) -> None:
    found = await site.client.users_info(user=site.ann.id, include_locale=True)
    assert (found["user"]["locale"], found["user"]["real_name"]) == ("zh-CN", "Ann")
    assert "locale" not in (await site.client.users_info(user=site.ann.id))["user"]
    assert (await refused(site.client.users_info(user="U0")))["error"] == "user_not_found"
    opened = await site.client.conversations_open(users=[site.ann.id])
    assert opened["channel"]["id"] == site.ann.dm.id


async def test_a_picture_stands_in_a_message_only_when_slack_has_looked_at_it(site: Site) -> None:
    site.slack.looking_seconds = 3600.0
    uploaded = await site.client.files_upload_v2(content=b"\x89PNG", filename="loss.png", title="Loss")
    file = uploaded["files"][0]["id"]
    image = [{"type": "image", "alt_text": "curve", "slack_file": {"id": file}}]
    early = await refused(site.client.chat_postMessage(channel=site.general.id, text="t", blocks=image))
    assert early["error"] == "invalid_blocks"
    site.slack.files[file].ready_at -= 3600.0
    await site.client.chat_postMessage(channel=site.general.id, text="t", blocks=image)
    await site.client.files_delete(file=file)
    assert (await refused(site.client.files_info(file=file)))["error"] == "file_deleted"


async def test_a_response_url_is_good_five_times(site: Site) -> None:
    url = acting.response_url(site.ann, site.general)
    async with aiohttp.ClientSession() as session:
        for number in range(5):
            async with session.post(url, json={"text": str(number)}) as response:
                assert response.status == 200
        async with session.post(url, json={"text": "6"}) as response:
            assert (response.status, (await response.json())["error"]) == (404, "used_url")
    assert [message.ephemeral_to for message in site.workspace.channel_messages(site.general)] == [site.ann.id] * 5


async def test_rate_limits_are_kept_by_channel_and_method() -> None:
    async with SlackEmulator() as slack:
        at = 1000.0
        slack.limits.clock = lambda: at
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        channels = [workspace.add_channel(name, members=(ann,)) for name in ("one", "two")]
        client = web_client(slack, workspace.bot_token)
        for channel in channels:
            for number in range(4):
                await client.chat_postMessage(channel=channel.id, text=str(number))
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel=channels[0].id, text="too fast")
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "1"
        results = await asyncio.gather(*(client.users_info(user=ann.id) for _ in range(110)), return_exceptions=True)
        assert sum(not isinstance(result, Exception) for result in results) == 100
        at += 1.0
        await client.chat_postMessage(channel=channels[0].id, text="slowly")
        assert [call.status for call in slack.calls if call.method == "chat.postMessage"] == [200] * 8 + [429, 200]


async def test_arguments_come_as_query_form_or_json(site: Site) -> None:
    url = f"{site.slack.api_url}chat.postMessage"
    headers = {"Authorization": f"Bearer {site.workspace.bot_token}"}
    blocks = json.dumps([{"type": "divider"}])
    async with aiohttp.ClientSession(headers=headers) as session:
        for arguments in (
            {"params": {"channel": site.general.id, "text": "a"}},
            {"data": {"channel": site.general.id, "text": "b", "blocks": blocks}},
            {"json": {"channel": site.general.id, "text": "c"}},
        ):
            async with session.post(url, **arguments) as response:  # type: ignore[arg-type]
                assert (await response.json())["ok"]
        async with session.post(url, data=b"{", headers={"Content-Type": "application/json"}) as response:
            assert (await response.json())["error"] == "invalid_json"
    assert [message.text for message in site.workspace.channel_messages(site.general)] == ["a", "b", "c"]


async def test_threads_are_read_slowly_by_apps_outside_the_marketplace() -> None:
    async with SlackEmulator() as slack:
        slack.has_hard_history_limits = True
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        root = await ann.post(ann.dm, "root")
        client = web_client(slack, workspace.bot_token)
        await client.conversations_replies(channel=ann.dm.id, ts=root)
        answer = await refused(client.conversations_replies(channel=ann.dm.id, ts=root))
        assert answer["error"] == "ratelimited"
        answer = await refused(client.conversations_history(channel=ann.dm.id, limit=100))
        assert answer["error"] == "invalid_limit"


async def test_files_of_places_without_the_app_are_not_seen(site: Site) -> None:
    private = site.workspace.add_channel("private", members=(site.ann,), has_bot=False, is_private=True)
    await site.ann.post(private, files=(("rows.jsonl", b"{}"),))
    (file,) = site.slack.files
    assert (await refused(site.client.files_info(file=file)))["error"] == "file_not_found"
    private.has_bot = True
    found = (await site.client.files_info(file=file))["file"]
    assert (found["name"], found["size"]) == ("rows.jsonl", 2)
