"""What people do in the emulated Slack reaches a real Bolt app, and what it answers stands there."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import OperationTimeout, Refused, SlackEmulator
from tests.unit.slack.bolt_app import connected, new_app, web_client

WITHIN_S = 60.0
BUTTONS: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Ready* &amp; waiting"}},
    {
        "type": "actions",
        "block_id": "doors",
        "elements": [
            {
                "type": "button",
                "action_id": "open",
                "value": "42",
                "text": {"type": "plain_text", "text": "Open"},
            },
            {
                "type": "static_select",
                "action_id": "pick",
                "placeholder": {"type": "plain_text", "text": "Pick"},
                "options": [
                    {"text": {"type": "plain_text", "text": "First"}, "value": "1"},
                    {"text": {"type": "plain_text", "text": "Second"}, "value": "2"},
                ],
            },
        ],
    },
]


def recording(app: AsyncApp) -> list[dict[str, Any]]:
    """What the app hears of people's words."""
    heard: list[dict[str, Any]] = []

    async def hear(event: dict[str, Any]) -> None:
        heard.append(event)

    app.event("message")(hear)
    app.event("app_mention")(hear)
    return heard


async def test_a_message_arrives_and_a_mention_arrives_as_both_events() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        app = new_app(slack, workspace)
        heard = recording(app)
        async with connected(slack, app):
            root = await ann.post(general, "a < b")
            reply = await ann.post(general, "@Tunesmith hi", thread=root)
            await slack.settled(WITHIN_S)
    assert sorted((event["type"], event["ts"]) for event in heard) == [
        ("app_mention", reply),
        ("message", root),
        ("message", reply),
    ]
    # In which order nobody promises: Bolt asks first who it is, for each of them.
    told = {(event["type"], event["ts"]): event for event in heard}
    assert told["message", root]["text"] == "a &lt; b"
    for kind in ("message", "app_mention"):
        assert told[kind, reply]["text"] == f"<@{workspace.bot_user_id}> hi"
        assert told[kind, reply]["thread_ts"] == root
    assert told["message", reply]["channel_type"] == "channel"


async def test_the_app_hears_nothing_of_channels_that_it_is_not_in() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        secret = workspace.add_channel("secret", members=(ann,), has_bot=False, is_private=True)
        app = new_app(slack, workspace)
        heard = recording(app)
        async with connected(slack, app):
            await ann.post(secret, "@Tunesmith hi")
            await ann.post(ann.dm, "hello")
            await slack.settled(WITHIN_S)
    assert [(event["channel"], event["channel_type"]) for event in heard] == [(ann.dm.id, "im")]


async def test_a_slash_command_is_acknowledged_and_goes_on_in_a_thread() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        app = new_app(slack, workspace)

        @app.command("/finetune")
        async def finetune(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
            root = await client.chat_postMessage(channel=body["channel_id"], text=f"Begun: {body['text']}")
            await client.chat_postMessage(channel=body["channel_id"], text="Which data?", thread_ts=root["ts"])
            await ack(text="Here we go")

        async with connected(slack, app):
            assert await ann.slash(general, "/finetune", "now") == {"text": "Here we go"}
            with pytest.raises(Refused, match="not_in_threads"):
                await ann.slash(general, "/finetune", thread=workspace.channel_messages(general)[0].ts)
            with pytest.raises(Refused, match="not_a_command"):
                await ann.slash(general, "/dance")
        root, private = workspace.channel_messages(general)
        assert (root.words, private.words) == ("Begun: now", "Here we go")
        assert private.ephemeral_to == ann.id
        assert [message.words for message in workspace.thread(general, root.ts)] == ["Begun: now", "Which data?"]


async def test_a_command_that_nobody_acknowledges_times_out_for_the_person() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        slack.delivery.ack_deadline_s = 0.2
        app = new_app(slack, workspace)
        async with connected(slack, app):
            with pytest.raises(OperationTimeout):
                await ann.slash(ann.dm, "/finetune")


async def test_buttons_and_menus_of_a_message() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        app = new_app(slack, workspace)
        pressed: list[dict[str, Any]] = []

        async def press(ack: AsyncAck, body: dict[str, Any]) -> None:
            pressed.append(body)
            await ack()

        app.action("open")(press)
        app.action("pick")(press)
        posted = await app.client.chat_postMessage(channel=general.id, text="Ready", blocks=BUTTONS)
        message = workspace.channel_messages(general)[0]
        assert message.words == "*Ready* & waiting\nOpen\nPick\nFirst\nSecond"
        assert message.buttons == ["Open", "First", "Second"]
        async with connected(slack, app):
            await ann.press(general, posted["ts"], "Open")
            await ann.choose(general, posted["ts"], "Second")
            with pytest.raises(Refused, match="no_such_button"):
                await ann.press(general, posted["ts"], "Close")
    assert pressed[0]["actions"][0]["value"] == "42"
    assert pressed[0]["container"]["message_ts"] == posted["ts"]
    assert pressed[1]["actions"][0]["selected_option"]["value"] == "2"


async def test_files_in_both_directions(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b'{"text": "one"}\n' * 1000)
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        app = new_app(slack, workspace)
        heard = recording(app)
        async with connected(slack, app):
            await ann.post(general, "", files=(("rows.jsonl", data), ("tiny.txt", b"x")))
            await slack.settled(WITHIN_S)
        assert heard[0]["subtype"] == "file_share"
        assert [file["size"] for file in heard[0]["files"]] == [16_000, 1]
        url = heard[0]["files"][0]["url_private_download"]
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {workspace.bot_token}"}
            async with session.get(url, headers=headers) as response:
                assert await response.read() == data.read_bytes()
            async with session.get(url, headers={**headers, "Range": "bytes=15990-"}) as response:
                assert (response.status, await response.read()) == (206, data.read_bytes()[15990:])
            async with session.get(url, headers={"Authorization": "Bearer xoxb-wrong"}) as response:
                assert (response.status, response.content_type) == (200, "text/html")
        client = web_client(slack, workspace.bot_token)
        uploaded = await client.files_upload_v2(
            channel=general.id, content=b"\x89PNG", filename="loss.png", title="Loss", initial_comment="The curve"
        )
        last = workspace.channel_messages(general)[-1]
        assert (last.words, last.files[0].id) == ("The curve\nloss.png", uploaded["files"][0]["id"])


async def test_home_prompts_and_shortcuts() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        called: list[str] = []

        @app.event("app_home_opened")
        async def opened(event: dict[str, Any], client: AsyncWebClient) -> None:
            if event["tab"] == "home":
                blocks = [{"type": "header", "text": {"type": "plain_text", "text": "My runs"}}]
                await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})
            else:
                prompts = [{"title": "Begin", "message": "/finetune"}]
                channel = event["channel"]
                await client.api_call(
                    "assistant.threads.setSuggestedPrompts", json={"channel_id": channel, "prompts": prompts}
                )

        async def shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
            called.append(body["type"])
            await ack()

        app.shortcut("new_finetuning")(shortcut)
        app.shortcut("finetune_file")(shortcut)
        async with connected(slack, app):
            home = await ann.open_home()
            assert home is not None
            assert home.words == "My runs"
            assert await ann.open_messages_tab() == [{"title": "Begin", "message": "/finetune"}]
            await ann.shortcut("new_finetuning")
            stamp = await ann.post(ann.dm, "hi")
            await ann.message_shortcut(ann.dm, stamp, "finetune_file")
    assert called == ["shortcut", "message_action"]


async def test_a_command_in_a_private_channel_is_answered_where_the_app_cannot_post() -> None:
    async with SlackEmulator() as slack:
        acme, other = slack.add_workspace("Acme"), slack.add_workspace("Other")
        ann, bob = acme.add_user("Ann"), other.add_user("Bob")
        private = acme.add_channel("private", members=(ann,), has_bot=False, is_private=True)
        app = new_app(slack, acme)
        teams: list[str] = []

        @app.command("/finetune")
        async def finetune(ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
            teams.append(body["team_id"])
            await ack()
            await respond("Invite me")

        async with connected(slack, app):
            await ann.slash(private, "/finetune")
            await bob.slash(bob.dm, "/finetune")
            assert await slack.changes.until(lambda: bob.dm.messages, within_s=WITHIN_S)
        (message,) = acme.channel_messages(private)
        assert (message.words, message.ephemeral_to) == ("Invite me", ann.id)
    assert teams == [acme.team_id, other.team_id]
