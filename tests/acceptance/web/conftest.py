"""A running site with fakes for engines, and a real browser."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.places import chromium
from tests.web_site import Web, running_site

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    async with running_site(tmp_path / "home", monkeypatch) as web:
        yield web


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@dataclass(kw_only=True)
class Window:
    """A page with its network log and what its console complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self, address: str) -> list[str]:
        """Addresses it asked that are not the server's."""
        own = (address, address.replace("http", "ws", 1), "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


Open = Callable[..., Awaitable[Window]]


@pytest.fixture
def open_window(browser: Browser, web: Web) -> Open:
    """Opens a window on a path of the site."""

    async def open_(
        path: str = "/", *, language: str = "en-US", scheme: Literal["light", "dark"] = "light", width: int = 1100
    ) -> Window:
        context = await browser.new_context(
            locale=language, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        page = await context.new_page()
        window = Window(page=page)
        page.on("request", lambda request: window.requests.append(request.url))
        page.on("websocket", lambda socket: window.requests.append(socket.url))
        page.on("console", lambda told: window.complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: window.complaints.append(str(error)))
        await page.goto(f"{web.address}{path}")
        await page.wait_for_selector("#chat-input")
        return window

    return open_
