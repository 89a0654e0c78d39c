"""From a dropped file to one's own model in the same thread, in a real browser, in both languages."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bot.texts import Texts, texts
from tests.acceptance.web.conftest import Open
from tests.conversing import identity
from tests.web_site import Web, eventually


async def write(page: Page, text: str) -> None:
    await page.locator("#chat-input").fill(text)
    await expect(page.locator("#chat-submit")).to_be_enabled()
    await page.keyboard.press("Enter")


async def press(page: Page, label: str) -> None:
    await page.locator(".ts-button:enabled", has_text=label).last.click()


async def drop(page: Page, path: Path) -> None:
    # The page is connected once its starters can be pressed.
    await expect(page.locator("#starters button").first).to_be_enabled()
    await page.locator("#upload-button-input").set_input_files(path)
    await expect(page.get_by_text(path.name).first).to_be_visible()
    await expect(page.locator("#chat-submit")).to_be_enabled()
    await page.locator("#chat-submit").click()


async def answer_questions(page: Page, text: Texts) -> None:
    """Fill the placeholders by typing, take what is recommended by button, and start."""
    await expect(page.locator(".ts-card", has_text="identity.jsonl")).to_be_visible()
    answered = page.locator(".ts-answered")
    for word in ("Nova", "Acme"):
        await expect(page.locator(".ts-question")).to_have_count(1)
        await write(page, word)
        await expect(answered.filter(has_text=word)).to_be_visible()
    plan = page.locator(".ts-card .ts-table").first
    recommended = page.locator(".ts-question .ts-button.ts-primary:enabled").last
    await expect(plan.or_(recommended).first).to_be_visible()
    while not await plan.is_visible():
        before = await answered.count()
        await recommended.click()
        await expect(answered).to_have_count(before + 1)
        await expect(plan.or_(recommended).first).to_be_visible()
    await press(page, text("hint.start"))


async def train(web: Web, page: Page) -> None:
    """Move the run from outside, and look at its card; reload in the middle."""
    bar = page.get_by_role("progressbar").last
    await expect(bar).to_be_visible()
    await eventually(lambda: web.runs.attempts)
    web.runs.advance()
    web.runs.advance(5)
    await expect(bar).to_have_attribute("aria-valuenow", "50")
    await page.reload()
    await expect(page.get_by_role("progressbar").last).to_have_attribute("aria-valuenow", "50")
    await expect(page.locator(".ts-chart svg[role=img]").last).to_be_visible()
    web.runs.finish()


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_main_job(web: Web, open_window: Open, tmp_path: Path, language: str) -> None:
    window = await open_window(language="en-US" if language == "en" else language)
    page, text = window.page, texts(language)
    await drop(page, identity(tmp_path / "identity.jsonl"))
    await answer_questions(page, text)
    await train(web, page)
    await expect(page.locator(".ts-compared").first).to_be_visible(timeout=60_000)
    await expect(page.locator(".ts-notice").last).to_be_visible()
    await write(page, "Who are you?")
    await expect(page.locator(".prose > h5:first-child")).to_be_visible()
    notices = await page.locator(".ts-notice").count()
    await write(page, "/base")
    # The first Enter takes the command from the menu, the second one sends it.
    await page.keyboard.press("Enter")
    await expect(page.locator(".ts-notice")).to_have_count(notices + 1)
    await write(page, "And you?")
    await expect(page.locator(".prose > h6:first-child", has_text="tiny-instruct")).to_be_visible()
    await expect(page.locator("#stop-button")).to_have_count(0)
    steps = await page.locator(".step").count()
    await page.reload()
    await expect(page.locator(".step")).to_have_count(steps)
    assert window.foreign(web.address) == []
    assert window.complaints == []
