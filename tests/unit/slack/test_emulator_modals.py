"""Modals in the emulated Slack: opened, filled, corrected, changed and stacked."""

from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import Refused, SlackEmulator
from tests.unit.slack.bolt_app import connected, new_app
from tests.unit.slack.test_emulator_acts import BUTTONS, WITHIN_S

MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "form",
    "title": {"type": "plain_text", "text": "Parameters"},
    "submit": {"type": "plain_text", "text": "Start"},
    "blocks": [
        {
            "type": "input",
            "block_id": "learning_rate",
            "label": {"type": "plain_text", "text": "Learning rate"},
            "element": {"type": "plain_text_input", "action_id": "value", "initial_value": "2e-4"},
        },
        {
            "type": "input",
            "block_id": "method",
            "label": {"type": "plain_text", "text": "Method"},
            "element": {
                "type": "static_select",
                "action_id": "value",
                "options": [
                    {"text": {"type": "plain_text", "text": "LoRA"}, "value": "lora"},
                    {"text": {"type": "plain_text", "text": "Full"}, "value": "full"},
                ],
            },
        },
    ],
}


async def test_a_modal_is_opened_filled_and_corrected() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        app = new_app(slack, workspace)
        taken: list[dict[str, Any]] = []

        @app.action("open")
        async def opened(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

        @app.view("form")
        async def submitted(ack: AsyncAck, view: dict[str, Any]) -> None:
            values = view["state"]["values"]
            if values["learning_rate"]["value"]["value"] == "much":
                await ack(response_action="errors", errors={"learning_rate": "A number, please"})
                return
            taken.append(values)
            await ack(response_action="clear")

        posted = await app.client.chat_postMessage(channel=general.id, text="Ready", blocks=BUTTONS)
        async with connected(slack, app):
            await ann.press(general, posted["ts"], "Open")
            assert await slack.changes.until(lambda: ann.modal, within_s=WITHIN_S)
            assert ann.modal is not None
            assert ann.modal.title == "Parameters"
            assert await ann.submit({}) == {"method": "Please complete this required field."}
            wrong = await ann.submit({"learning_rate": "much", "method": "LoRA"})
            assert wrong == {"learning_rate": "A number, please"}
            assert await ann.submit({"learning_rate": "1e-4", "method": "LoRA"}) == {}
            assert ann.modal is None
    assert taken[0]["method"]["value"]["selected_option"]["value"] == "lora"


async def test_modals_stand_on_each_other_and_change() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        closed: list[str] = []

        def modal(title: str) -> dict[str, Any]:
            return {**MODAL, "title": {"type": "plain_text", "text": title}, "notify_on_close": True}

        @app.shortcut("new_finetuning")
        async def opened(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
            await client.views_open(trigger_id=body["trigger_id"], view=modal("First"))
            await ack()

        @app.view("form")
        async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
            chosen = body["view"]["state"]["values"]["method"]["value"]["selected_option"]["value"]
            if chosen == "full":
                await ack(response_action="push", view=modal("Second"))
            else:
                await ack(response_action="update", view=modal("Changed"))

        @app.view_closed("form")
        async def left(ack: AsyncAck, view: dict[str, Any]) -> None:
            closed.append(view["title"]["text"])
            await ack()

        async with connected(slack, app):
            await ann.shortcut("new_finetuning")
            assert await ann.submit({"method": "Full"}) == {}
            assert [view.title for view in ann.views] == ["First", "Second"]
            assert await ann.submit({"method": "LoRA"}) == {}
            assert [view.title for view in ann.views] == ["First", "Changed"]
            assert await ann.submit({"method": "Full"}) == {}
            with pytest.raises(Refused, match="push_limit_reached"):
                await ann.submit({"method": "Full"})
            await ann.close_modal()
            assert [view.title for view in ann.views] == ["First", "Changed"]
    assert closed == ["Second"]
