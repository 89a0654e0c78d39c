"""What a person can do on the emulated Slack's page, with a small app behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import FilePayload, expect

from tests.acceptance.slack.desk import open_desk
from tests.acceptance.slack.small_app import Small, small_app
from tests.living import until
from tests.slack_emulator import Channel, Person, SlackEmulator
from tests.slack_emulator.page import add_page
from tests.unit.slack.bolt_app import connected


@dataclass(kw_only=True)
class Office:
    """A workspace with a small app in it."""

    slack: SlackEmulator
    ann: Person
    general: Channel
    small: Small


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    slack = SlackEmulator(speed=0)
    add_page(slack)
    async with slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann Lee")
        general = workspace.add_channel("general", members=(ann,))
        small = small_app(slack, workspace)
        async with connected(slack, small.app):
            yield Office(slack=slack, ann=ann, general=general, small=small)


async def test_buttons_menus_and_ratings_are_pressed(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        await desk.say("hi <b>there</b> *you*")
        await expect(desk.replies).to_contain_text("You said: hi <b>there</b> you")
        offer = desk.replies.get_by_role("article").filter(has_text="What now?")
        await offer.get_by_role("combobox", name="Choose a model").select_option("Qwen")
        await expect(desk.replies).to_contain_text("Model: qwen")
        await offer.get_by_role("button", name="👎").click()
        await expect(desk.replies).to_contain_text("Rated: bad")
        await offer.get_by_role("button", name="Count").press("Enter")
        await expect(desk.replies).to_contain_text("Counted: 1")
        await expect(offer).to_have_count(0)
        # The message was drawn anew below the finger: the focus is still there.
        await expect(desk.replies.get_by_role("button", name="Count")).to_be_focused()
        await expect(desk.messages.get_by_role("button", name="4 replies")).to_be_visible()


async def test_a_modal_has_errors_at_its_fields_and_others_on_top(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        await desk.say("hi")
        await desk.press("Fill in")
        rate = desk.modal.get_by_role("textbox", name="Learning rate")
        await expect(rate).to_be_focused()
        await desk.modal.get_by_role("textbox", name="Note (optional)").fill("kept")
        await desk.modal.get_by_role("button", name="Take these").click()
        await expect(desk.modal.get_by_role("alert")).to_contain_text(["Please complete this required field."])
        await desk.modal.get_by_role("radio", name="Quick").check()
        await rate.press("Enter")
        await expect(desk.modal.get_by_text("“fast” is no number.")).to_be_visible()
        await expect(rate).to_have_attribute("aria-invalid", "true")
        await expect(rate).to_be_focused()
        await expect(desk.modal.get_by_role("textbox", name="Note (optional)")).to_have_value("kept")
        await rate.fill("1e-4")
        await rate.press("Enter")
        await expect(desk.page.get_by_role("dialog", name="Sure?")).to_contain_text("Really?")
        await desk.page.get_by_role("button", name="Back to Settings").click()
        await expect(desk.page.get_by_role("dialog", name="Settings")).to_be_visible()
        await desk.page.keyboard.press("Escape")
        await expect(desk.modal).to_have_count(0)
        assert office.ann.views == []


async def test_the_stack_of_modals_is_cleared_by_the_app(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        await desk.page.get_by_role("button", name="Attach files and shortcuts").first.press("Enter")
        await desk.page.get_by_role("menuitem", name="New fine-tuning").click()
        await desk.modal.get_by_role("textbox", name="Learning rate").fill("1e-4")
        await desk.modal.get_by_role("radio", name="Careful").check()
        await desk.modal.get_by_role("button", name="Take these").click()
        await desk.modal.get_by_role("button", name="Yes").click()
        await expect(desk.modal).to_have_count(0)
        await expect(desk.messages).to_contain_text("Taken.")


DROP = """(names) => {
  const dropped = new DataTransfer();
  for (const name of names) dropped.items.add(new File([`content of ${name}`], name));
  const pane = document.querySelector("main");
  for (const kind of ["dragenter", "dragover", "drop"])
    pane.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: dropped }));
}"""


async def test_files_are_picked_dropped_and_taken_back(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        picker = desk.page.get_by_role("main").get_by_label("Files", exact=True)
        await picker.set_input_files(FilePayload(name="a.jsonl", mimeType="text/plain", buffer=b"{}\n" * 700))
        await desk.page.evaluate(DROP, ["b.json", "c.json"])
        pills = desk.page.get_by_role("list", name="Attached files").get_by_role("listitem")
        await expect(pills).to_have_count(3)
        await desk.page.get_by_role("button", name="Remove b.json").click()
        await desk.say("data")
        await expect(desk.replies).to_contain_text("You said: data a.jsonl, c.json")
        await expect(pills).to_have_count(0)
        await expect(desk.messages.get_by_role("link", name="a.jsonl")).to_contain_text("2.1 KB")
        async with desk.page.expect_download() as waiting:
            await desk.messages.get_by_role("link", name="c.json").click()
        assert (await (await waiting.value).path()).read_bytes() == b"content of c.json"


async def test_an_answer_grows_before_one_s_eyes(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        await desk.say("write")
        await expect(desk.replies).to_contain_text("Tunesmith is thinking…")
        office.small.may_write.release()
        answer = desk.replies.get_by_role("article").filter(has_text="I am Nova")
        await expect(answer.locator("b", has_text="Nova")).to_be_visible()
        await expect(desk.replies).not_to_contain_text("thinking")
        await expect(answer.get_by_role("listitem")).to_have_count(0)
        office.small.may_write.release()
        await expect(answer.get_by_role("listitem")).to_have_text(["one"])
        office.small.may_write.release()
        await expect(answer.get_by_role("listitem")).to_have_text(["one", "two"])
        await expect(answer).not_to_contain_text("All said.")
        office.small.may_write.release()
        await expect(answer).to_contain_text("All said.")


async def test_home_and_suggested_prompts(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        home = desk.page.get_by_role("tabpanel", name="Home")
        await desk.page.get_by_role("tab", name="Home").click()
        await expect(home).to_contain_text("Hello from home")
        await home.get_by_role("button", name="Begin").click()
        await expect(home).to_have_text("Begun.")
        await desk.page.get_by_role("tab", name="Messages").click()
        await desk.page.get_by_role("group", name="Suggested prompts").get_by_role("button", name="Say hello").click()
        await expect(desk.replies).to_contain_text("You said: hello")


async def test_commands_are_suggested_private_and_not_for_threads(office: Office) -> None:
    async with open_desk(office.slack, channel=office.general) as desk:
        text = desk.page.get_by_role("textbox", name="Message", exact=True)
        await text.press_sequentially("/ru")
        await expect(desk.page.get_by_role("option", name="/runs")).to_have_attribute("aria-selected", "true")
        await text.press("Tab")
        await text.press_sequentially("today")
        await text.press("Enter")
        await expect(desk.messages.get_by_role("article")).to_contain_text("Only visible to you")
        await expect(desk.messages).to_contain_text("No runs today")
        await expect(text).to_have_value("")
        await desk.say("/nothing")
        problem = desk.page.get_by_role("main").get_by_role("alert")
        await expect(problem).to_have_text("/nothing is not a valid command.")
        await desk.say("hi")
        await desk.messages.get_by_role("article").last.get_by_role("button", name="2 replies").click()
        await desk.reply("/runs")
        await expect(desk.page.get_by_role("complementary").get_by_role("alert")).to_contain_text("in threads")
        await expect(desk.page.get_by_role("textbox", name="Reply", exact=True)).to_have_value("/runs")


async def test_the_menu_of_a_message_by_keyboard(office: Office) -> None:
    ts = await office.ann.post(office.general, "my data")
    async with open_desk(office.slack, channel=office.general) as desk:
        more = desk.messages.get_by_role("button", name="More actions")
        await more.focus()
        await more.press("Enter")
        await desk.page.keyboard.press("ArrowDown")
        await expect(desk.page.get_by_role("menuitem", name="Fine-tune on this file")).to_be_focused()
        await desk.page.keyboard.press("Enter")
        await desk.messages.get_by_role("button", name="3 replies").click()
        await expect(desk.replies).to_contain_text("Looking at: my data")
        await more.press("Enter")
        await desk.page.get_by_role("menuitem", name="Edit message").click()
        await desk.messages.get_by_role("textbox", name="Edited message").fill("better data")
        await desk.messages.get_by_role("button", name="Save").click()
        await expect(desk.messages).to_contain_text("better data(edited)")
        await more.press("Enter")
        await desk.page.get_by_role("menuitem", name="Delete message").click()
        await until(lambda: "my data" not in office.general.messages[ts].words)
        await expect(desk.messages).to_contain_text("This message was deleted.")


async def test_what_slack_refused_is_told_to_the_builder(office: Office) -> None:
    async with open_desk(office.slack) as desk:
        await expect(desk.page.get_by_text("The app is connected")).to_be_visible()
        await desk.say("wrong")
        await desk.page.get_by_role("button", name="Refused calls (1)").click()
        row = desk.page.get_by_role("dialog", name="Refused calls").get_by_role("row").last
        await expect(row).to_contain_text("chat.postMessage")
        await expect(row).to_contain_text("invalid_blocks")
        await expect(row).to_contain_text("3000")


async def test_narrow_the_side_opens_and_the_thread_covers_all(office: Office) -> None:
    async with open_desk(office.slack, width=390, scheme="dark") as desk:
        place = desk.page.get_by_role("button", name="general")
        await expect(place).to_be_hidden()
        await desk.page.get_by_role("button", name="Channels").click()
        await place.click()
        await expect(place).to_be_hidden()
        await expect(desk.page.get_by_role("heading", name="# general")).to_be_visible()
        await desk.say("hi")
        await desk.messages.get_by_role("button", name="2 replies").click()
        thread = desk.page.get_by_role("complementary", name="Thread")
        box = await thread.bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, 390)
        await desk.page.get_by_role("button", name="Close thread").click()
        await expect(thread).to_be_hidden()
