"""A small app that does everything an app can do in Slack, for the page to show."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import SlackEmulator, Workspace
from tests.unit.slack.bolt_app import new_app

Json = dict[str, Any]
PIECES = ("I am **Nova**", ", made by Acme.\n\n- one\n", "- two\n")


@dataclass(kw_only=True)
class Small:
    """The app; the test says when it goes on writing."""

    app: AsyncApp
    may_write: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


def small_app(slack: SlackEmulator, workspace: Workspace) -> Small:
    small = Small(app=new_app(slack, workspace))
    _add_messages(small)
    _add_modals(small.app)
    _add_the_rest(small.app)
    return small


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def a_button(label: str, action_id: str, **more: Any) -> Json:
    return {"type": "button", "action_id": action_id, "text": plain(label), **more}


def section(text: str, **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


OFFER = [
    section("What *now*?"),
    {
        "type": "actions",
        "elements": [
            a_button("Count", "count", style="primary"),
            a_button("Fill in", "fill"),
            {
                "type": "static_select",
                "action_id": "model",
                "placeholder": plain("Choose a model"),
                "options": [{"text": plain(name), "value": name.lower()} for name in ("SmolLM2", "Qwen")],
            },
        ],
    },
    {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "rate",
                "positive_button": {"text": plain("👍"), "value": "good"},
                "negative_button": {"text": plain("👎"), "value": "bad"},
            }
        ],
    },
]


def form() -> Json:
    options = [{"text": plain(name), "value": name} for name in ("Careful", "Quick")]
    return {
        "type": "modal",
        "callback_id": "form",
        "title": plain("Settings"),
        "submit": plain("Take these"),
        "blocks": [
            {
                "type": "input",
                "block_id": "rate",
                "label": plain("Learning rate"),
                "hint": plain("A number such as 1e-4"),
                "element": {"type": "plain_text_input", "action_id": "value", "initial_value": "fast"},
            },
            {
                "type": "input",
                "block_id": "note",
                "optional": True,
                "label": plain("Note"),
                "element": {"type": "plain_text_input", "action_id": "value", "multiline": True},
            },
            {
                "type": "input",
                "block_id": "way",
                "label": plain("Way"),
                "element": {"type": "radio_buttons", "action_id": "value", "options": options},
            },
        ],
    }


def question() -> Json:
    blocks = [section("Really?")]
    return {"type": "modal", "callback_id": "sure", "title": plain("Sure?"), "submit": plain("Yes"), "blocks": blocks}


def _add_messages(small: Small) -> None:
    app = small.app

    @app.event("message")
    async def hear(event: Json, client: AsyncWebClient) -> None:
        if event.get("bot_id") or event.get("subtype") not in {None, "file_share"}:
            return
        place = {"channel": event["channel"], "thread_ts": event.get("thread_ts", event["ts"])}
        names = ", ".join(file["name"] for file in event.get("files", ()))
        match event["text"]:
            case "write":
                await _write(small, client, place)
            case "wrong":
                await client.api_call("chat.postMessage", json={**place, "blocks": [section("x" * 3001)]})
            case text:
                await client.chat_postMessage(**place, text=f"You said: {text} {names}".strip())
                await client.chat_postMessage(**place, text="What now?", blocks=OFFER)

    @app.action("count")
    async def count(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        blocks = [section("Counted: *1*"), OFFER[1]]
        where = {"channel": body["channel"]["id"], "ts": body["message"]["ts"]}
        await client.chat_update(**where, text="Counted: 1", blocks=blocks)

    @app.action("model")
    async def choose(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await _tell(client, body, f"Model: {body['actions'][0]['selected_option']['value']}")

    @app.action("rate")
    async def rate(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await _tell(client, body, f"Rated: {body['actions'][0]['value']}")


async def _write(small: Small, client: AsyncWebClient, place: Json) -> None:
    await client.assistant_threads_setStatus(
        channel_id=place["channel"], thread_ts=place["thread_ts"], status="is thinking…"
    )
    await small.may_write.acquire()
    started = await client.chat_startStream(**place, markdown_text=PIECES[0])
    where = {"channel": place["channel"], "ts": str(started["ts"])}
    for piece in PIECES[1:]:
        await small.may_write.acquire()
        await client.chat_appendStream(**where, markdown_text=piece)
    await small.may_write.acquire()
    await client.chat_stopStream(**where, blocks=[{"type": "context", "elements": [plain("All said.")]}])


async def _tell(client: AsyncWebClient, body: Json, text: str) -> None:
    root = body["message"].get("thread_ts", body["message"]["ts"])
    await client.chat_postMessage(channel=body["channel"]["id"], thread_ts=root, text=text)


def _add_modals(app: AsyncApp) -> None:
    @app.action("fill")
    @app.shortcut("new_finetuning")
    async def open_form(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=form())

    @app.view("form")
    async def take(ack: Any, view: Json) -> None:
        rate = view["state"]["values"]["rate"]["value"]["value"]
        if rate == "fast":
            await ack(response_action="errors", errors={"rate": f"“{rate}” is no number."})
        else:
            await ack(response_action="push", view=question())

    @app.view("sure")
    async def sure(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack(response_action="clear")
        await client.chat_postMessage(channel=body["user"]["id"], text="Taken.")


def _add_the_rest(app: AsyncApp) -> None:
    @app.command("/runs")
    async def runs(ack: Any, command: Json) -> None:
        await ack(f"No runs {command['text']}".strip())

    @app.shortcut("finetune_file")
    async def on_file(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        place = {"channel": body["channel"]["id"], "thread_ts": body["message_ts"]}
        await client.chat_postMessage(**place, text=f"Looking at: {body['message']['text']}")

    @app.event("app_home_opened")
    async def home(event: Json, client: AsyncWebClient) -> None:
        if event["tab"] == "home":
            blocks = [section("Hello from *home*"), {"type": "actions", "elements": [a_button("Begin", "begin")]}]
            await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})
        else:
            prompts = [{"title": "Say hello", "message": "hello"}]
            await client.assistant_threads_setSuggestedPrompts(channel_id=event["channel"], prompts=prompts)

    @app.action("begin")
    async def begin(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_publish(user_id=body["user"]["id"], view={"type": "home", "blocks": [section("Begun.")]})
