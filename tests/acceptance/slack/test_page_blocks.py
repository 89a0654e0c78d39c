"""The emulated Slack's page shows every block, whatever the width and the light."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest
from playwright.async_api import Locator, expect

from bot.replies import Curve, Form, Said
from bot.slack.blocks import render
from bot.slack.chart import draw
from bot.slack.modal import form_view
from tests.acceptance.slack.desk import Desk, open_desk
from tests.acceptance.slack.gallery import MESSAGES, Json
from tests.acceptance.slack.small_app import section
from tests.slack_emulator import SlackEmulator, Workspace
from tests.slack_emulator.page import add_page
from tests.unit.slack.bolt_app import web_client
from tests.web_samples import chinese, english

TOO_WIDE = """() => [...document.querySelectorAll(".message, .message *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll, .carousel"))
    .map((each) => each.outerHTML.slice(0, 200))"""


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    slack = SlackEmulator(speed=0)
    add_page(slack)
    async with slack:
        workspace = slack.add_workspace("Acme")
        workspace.add_channel("general", members=(workspace.add_user("Ann Lee"),))
        yield workspace


async def show(workspace: Workspace, messages: Sequence[Sequence[Json]]) -> list[str]:
    """Post them to #general; returns their stamps."""
    client = web_client(workspace.slack, workspace.bot_token)
    channel = next(each for each in workspace.channels.values() if each.name == "general")
    answers = [await client.chat_postMessage(channel=channel.id, text="…", blocks=blocks) for blocks in messages]
    return [str(answer["ts"]) for answer in answers]


async def place(desk: Desk) -> Locator:
    await desk.page.get_by_role("button", name="general").click()
    await expect(desk.messages.get_by_role("article").first).to_be_visible()
    return desk.messages


async def test_every_block_is_drawn_as_slack_means_it(workspace: Workspace) -> None:
    await show(workspace, MESSAGES)
    async with open_desk(workspace.slack) as desk:
        classic, markdown, table, rich, new = [
            (await place(desk)).get_by_role("article").nth(number) for number in range(len(MESSAGES))
        ]
        await expect(classic.get_by_role("heading", name="A header")).to_be_visible()
        await expect(classic.locator(".section b")).to_have_text(["bold", "1,204", "7"])
        await expect(classic).to_contain_text("1 < 2 && <b>")
        await expect(classic).to_contain_text("中*文*字 snake_case_name 2*3*4")
        await expect(classic.locator("pre")).to_have_text("*not bold*")
        await expect(classic.locator("blockquote")).to_have_text("quoted")
        await expect(classic.locator(".context")).to_contain_text("plain *words*")
        await expect(classic.get_by_role("link", name="a link")).to_have_attribute("href", "https://example.com")
        await expect(classic.get_by_role("combobox", name="Choose").get_by_role("option")).to_have_count(3)
        await expect(classic.get_by_role("radio", name="Second")).to_be_visible()

        await expect(markdown.get_by_role("heading", name="Heading one")).to_be_visible()
        await expect(markdown).to_contain_text("1 < 2 && <b>not bold</b>")
        await expect(markdown.locator("ul ul > li")).to_have_text("nested deep")
        await expect(markdown.locator("ol")).to_have_attribute("start", "3")
        await expect(markdown.get_by_role("cell", name="0.41")).to_have_class("right")
        await expect(markdown.locator("pre")).to_contain_text('return "**not bold**"')
        await expect(markdown.locator("blockquote")).to_contain_text("a quote")
        await expect(markdown.locator("li.task")).to_have_text("☑ done")

        await expect(table.get_by_role("row")).to_have_count(4)
        await expect(rich.locator("ol li")).to_have_text(["one", "two"])
        await expect(new.get_by_role("note")).to_contain_text("Eight rows are cut.")
        await expect(new.get_by_role("button", name="Open the card")).to_be_visible()
        await expect(new.get_by_role("img", name="in progress")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
async def test_all_that_the_app_says_finds_room(
    workspace: Workspace, scheme: Literal["light", "dark"], width: int
) -> None:
    bodies = [body for body in (*english(), *chinese()) if not isinstance(body, Said)]
    rendered = [each.blocks for number, body in enumerate(bodies) for each in render(body, message_id=f"m{number}")]
    stamps = await show(workspace, [*rendered, *MESSAGES])
    (ann,) = workspace.users.values()
    channel = next(each for each in workspace.channels.values() if each.name == "general")
    async with open_desk(workspace.slack, person=ann, channel=channel, scheme=scheme, width=width) as desk:
        await expect(desk.messages.get_by_role("article")).to_have_count(len(stamps))
        await expect(desk.messages.get_by_role("article").last).to_be_in_viewport()
        assert await desk.page.evaluate(TOO_WIDE) == []


async def test_the_end_stays_in_sight_unless_one_looks_elsewhere(workspace: Workspace) -> None:
    await show(workspace, MESSAGES)
    (ann,) = workspace.users.values()
    channel = next(each for each in workspace.channels.values() if each.name == "general")
    picture = draw([Curve(label="loss", points=((0, 2.0), (9, 0.5)))])
    async with open_desk(workspace.slack, person=ann, channel=channel) as desk:
        await expect(desk.messages.get_by_role("article").last).to_be_in_viewport()
        await ann.post(channel, "look", files=[("loss.png", picture)])
        await expect(desk.messages.get_by_role("img", name="loss.png")).to_be_in_viewport(ratio=1)
        await desk.messages.evaluate("(place) => { place.scrollTop = 0; }")
        await expect(desk.messages.get_by_role("heading", name="A header")).to_be_in_viewport()
        await show(workspace, [[section("something new")]])
        await expect(desk.messages.get_by_role("article").last).to_contain_text("something new")
        await expect(desk.messages.get_by_role("heading", name="A header")).to_be_in_viewport()
        await ann.post(channel, "and I")
        await expect(desk.messages.get_by_text("and I", exact=True)).to_be_in_viewport()


async def test_a_form_of_the_app_is_filled_in_as_it_stands(workspace: Workspace) -> None:
    form = next(body for body in english() if isinstance(body, Form))
    (ann,) = workspace.users.values()
    client = web_client(workspace.slack, workspace.bot_token)
    # At home, since a home takes the same blocks and needs no trigger.
    await client.views_publish(user_id=ann.id, view={"type": "home", "blocks": form_view(form, metadata="")["blocks"]})
    async with open_desk(workspace.slack, person=ann) as desk:
        home = desk.page.get_by_role("tabpanel", name="Home")
        await desk.page.get_by_role("tab", name="Home").click()
        fields = [field for part in form.sections for field in part.fields]
        for field in fields:
            # What may be left empty says so beside its label.
            mark = " (optional)" if field.kind == "text" or not field.value else ""
            shown = home.get_by_label(f"{field.label}{mark}", exact=True)
            await expect(shown).to_have_value(field.value)
