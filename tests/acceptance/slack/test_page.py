"""The emulated Slack's page in a real browser, with the whole application behind it: a bot tried by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import expect

from bot.wiring import Application
from tests.acceptance.slack.desk import Desk, open_desk
from tests.conversing import identity
from tests.fake_runs import FakeRuns
from tests.living import until
from tests.slack_emulator import SlackEmulator
from tests.slack_emulator.__main__ import furnish
from tests.slack_emulator.page import add_page
from tests.slack_talk import slack_application, slack_settings


@asynccontextmanager
async def desk_of(home: Path) -> AsyncIterator[tuple[Desk, Application]]:
    slack = SlackEmulator()
    add_page(slack)
    furnish(slack)
    async with slack:
        (workspace,) = slack.workspaces.values()
        async with slack_application(slack_settings(slack, workspace, home)) as application, open_desk(slack) as desk:
            yield desk, application


async def test_a_whole_conversation_by_hand(tmp_path: Path) -> None:
    data = identity(tmp_path / "identity.jsonl")
    async with desk_of(tmp_path / "home") as (desk, application):
        page = desk.page
        await expect(page.get_by_role("tab", name="Messages")).to_be_visible()
        await page.get_by_role("main").get_by_label("Files", exact=True).set_input_files(data)
        await desk.say("")
        await expect(desk.replies).to_contain_text("What should stand in place of {{name}}")
        await desk.reply("Nova")
        await expect(desk.replies).to_contain_text("What should stand in place of {{author}}")
        await desk.reply("Acme")
        await expect(desk.replies).to_contain_text("Which base model?")
        await desk.press("tiny-instruct")
        await expect(desk.replies).to_contain_text("How thorough?")
        await desk.press("Custom")
        await expect(desk.replies).to_contain_text("Every value is filled in already")
        await desk.press("All settings")
        form = desk.modal
        await form.get_by_label("Learning rate", exact=True).fill("fast")
        await form.get_by_role("button", name="Show the plan").click()
        await expect(form.get_by_role("alert").filter(has_text="fast")).to_be_in_viewport()
        await form.get_by_label("Learning rate", exact=True).fill("1e-4")
        await form.get_by_role("button", name="Show the plan").click()
        await expect(form).to_be_hidden()
        await expect(desk.replies).to_contain_text("The plan: identity-1")
        await desk.press("Start")
        runs = application.world.runs
        assert isinstance(runs, FakeRuns)
        await until(lambda: bool(runs.attempts))
        runs.advance()
        runs.finish()
        await expect(desk.replies.get_by_role("img")).to_be_visible(timeout=60_000)
        await expect(desk.replies).to_contain_text("You are talking to identity-1", timeout=60_000)
        await desk.reply("Who are you?")
        await expect(desk.replies).to_contain_text("heard: Who are you?")
        await desk.press("👍")
        # A slash command is refused in a thread, as Slack does; what was written is still there.
        await desk.reply("/runs")
        await expect(page.get_by_role("complementary").get_by_role("alert")).to_contain_text("not supported in threads")
        await expect(page.get_by_role("textbox", name="Reply", exact=True)).to_have_value("/runs")
        await page.get_by_role("tab", name="Home").click()
        await expect(page.get_by_role("tabpanel", name="Home")).to_contain_text("identity-1")


async def test_in_chinese_in_a_channel_and_where_the_app_is_not(tmp_path: Path) -> None:
    async with desk_of(tmp_path / "home") as (desk, _):
        page = desk.page
        await page.get_by_label("Person").select_option(label="小林 · zh-CN · Acme")
        await page.get_by_role("button", name="general").click()
        await desk.say("/finetune")
        await expect(desk.messages).to_contain_text("@小林: /finetune")
        await desk.messages.get_by_role("button", name="1 reply").click()
        await expect(desk.replies).to_contain_text("用哪个数据集训练")
        await page.get_by_role("button", name="board").click()
        await desk.say("/finetune")
        await expect(desk.messages).to_contain_text("/invite @Tunesmith")
        await expect(desk.messages).to_contain_text("Only visible to you")
