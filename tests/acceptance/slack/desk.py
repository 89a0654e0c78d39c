"""The emulated Slack's page in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from playwright.async_api import Locator, Page, async_playwright

from tests.acceptance.web.conftest import ARGUMENTS, Window
from tests.places import chromium
from tests.slack_emulator import Channel, Person, SlackEmulator


@dataclass(kw_only=True)
class Desk:
    """A person's page, and what can be done there."""

    page: Page
    slack: SlackEmulator

    @property
    def messages(self) -> Locator:
        """What stands in the channel, outside threads."""
        return self.page.get_by_role("log", name="Messages")

    @property
    def replies(self) -> Locator:
        """What stands in the open thread."""
        return self.page.get_by_role("log", name="Replies")

    @property
    def modal(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def say(self, text: str) -> None:
        """Say something in the channel."""
        await self.page.get_by_role("textbox", name="Message", exact=True).fill(text)
        await self.page.get_by_role("button", name="Send", exact=True).click()

    async def reply(self, text: str) -> None:
        """Say something in the open thread."""
        await self.page.get_by_role("textbox", name="Reply", exact=True).fill(text)
        await self.page.get_by_role("button", name="Send reply").click()

    async def press(self, label: str) -> None:
        """Press the newest button of that label in the thread."""
        await self.replies.get_by_role("button", name=label, exact=True).last.click()


@asynccontextmanager
async def open_desk(
    slack: SlackEmulator,
    *,
    person: Person | None = None,
    channel: Channel | None = None,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
) -> AsyncIterator[Desk]:
    """Open the page of somebody at a place; in the end, nothing was wrong in it and it asked nobody else."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
        page = await context.new_page()
        window = Window(page=page)
        page.on("request", lambda request: window.requests.append(request.url))
        page.on("console", lambda told: window.complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: window.complaints.append(str(error)))
        kept = {"person": person.id if person else "", "channel": channel.id if channel else ""}
        await page.goto(f"{slack.address}/#" + "&".join(f"{name}={value}" for name, value in kept.items() if value))
        yield Desk(page=page, slack=slack)
        await browser.close()
        assert window.complaints == []
        assert window.foreign(slack.address) == []
