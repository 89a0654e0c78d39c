"""A key to the endpoint, asked for in a page."""

import re

from tests.web_page import open_page
from tests.web_site import Web

SECRET = re.compile(r"tsk_[\w-]{43}")


async def test_a_page_shows_a_key_once_and_a_reload_its_ending(web: Web) -> None:
    async with open_page(web.address) as page:
        await page.say("/key new laptop")
        await page.until(lambda: SECRET.search("".join(page.texts())) and len(page.named("first_interaction")) == 2)
        (secret,) = SECRET.findall("".join(page.texts()))
        assert f"```\n{secret}\n```" in page.texts()[1]
        thread_id, shown = page.thread_id, list(page.messages)
    async with open_page(web.address, thread_id=thread_id) as page:
        await page.until(lambda: page.messages)
        assert list(page.messages) == shown
        assert f"ending in `{secret[-4:]}`" in page.texts()[1]
        assert secret not in str(page.messages) + str(page.elements)
