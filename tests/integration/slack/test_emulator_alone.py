"""``python -m tests.slack_emulator``: a Slack to try the bot in by hand."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE

import httpx
from slack_sdk.web.async_client import AsyncWebClient

from tests.places import PROJECT

STATIC = re.compile(r'"(?:/page/static|\.)/([a-z]+\.(?:css|js))"')


async def test_it_tells_where_it_is_and_what_the_app_needs() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.slack_emulator", "0", stdout=PIPE, cwd=PROJECT
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(4)]
        address = lines[0].removeprefix("Open ").partition("/ ")[0]
        settings = dict(line.split("=", 1) for line in lines[1:])
        client = AsyncWebClient(
            token=settings["TUNESMITH_SLACK_BOT_TOKEN"], base_url=settings["TUNESMITH_SLACK_API_URL"]
        )
        assert (await client.auth_test())["team"] == "Acme"
        opened = await client.apps_connections_open(app_token=settings["TUNESMITH_SLACK_APP_TOKEN"])
        assert str(opened["url"]).startswith("ws://127.0.0.1:")
        await every_file_is_there(address)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def every_file_is_there(address: str) -> None:
    """The page, and whatever it and its scripts ask for."""
    async with httpx.AsyncClient(base_url=address) as http:
        seen: set[str] = set()
        waiting = set(STATIC.findall((await http.get("/")).raise_for_status().text))
        while waiting:
            name = waiting.pop()
            seen.add(name)
            waiting |= set(STATIC.findall((await http.get(f"/page/static/{name}")).raise_for_status().text)) - seen
        assert {"page.js", "frame.css", "words.js"} <= seen
