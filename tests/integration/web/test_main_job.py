"""From a dropped file to one's own model in the same thread, through Chainlit's protocol, in two open pages."""

from pathlib import Path
from typing import Any

import pytest

from tests.conversing import identity
from tests.web_page import Json, Page, open_page
from tests.web_site import Web, eventually


def cards(page: Page, name: str) -> list[Json]:
    """The props of a page's cards of one kind, in the order of the thread."""
    order = list(page.messages)
    found = [element for element in page.elements.values() if element["name"] == name and element["forId"] in order]
    return [element["props"] for element in sorted(found, key=lambda element: order.index(element["forId"]))]


def open_question(page: Page) -> Json | None:
    """The question that waits for an answer."""
    waiting = [props for props in cards(page, "Question") if props["answered"] is None]
    return waiting[-1] if waiting else None


async def press(page: Page, props: Json, choice: Json) -> None:
    await page.press(say=choice["say"], label=choice["label"], about=props.get("id"))


async def answer_questions(page: Page) -> None:
    """Fill the placeholders by typing, and take what is recommended by button, until the plan is shown."""
    for word in ("Nova", "Acme"):
        await page.until(lambda: open_question(page) and not page.is_loading)
        await page.say(word)
        await page.until(lambda word=word: word in [props["answered"] for props in cards(page, "Question")])  # type: ignore[misc]
    while not cards(page, "Review"):
        await page.until(lambda: (open_question(page) or cards(page, "Review")) and not page.is_loading)
        question = open_question(page)
        if question:
            await press(page, question, next(choice for choice in question["choices"] if choice["style"] == "primary"))


def run_card(page: Page) -> dict[str, Any]:
    return cards(page, "RunCard")[0]


def is_answered(page: Page, author: str) -> bool:
    """Whether the lowest message is a whole answer of ``author``."""
    lowest = list(page.messages.values())[-1]
    return author in lowest["output"].split("\n")[0] and not lowest["streaming"]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_main_job(web: Web, tmp_path: Path, language: str) -> None:
    async with open_page(web.address, language=language) as page:
        file_id = await page.upload("identity.jsonl", identity(tmp_path / "identity.jsonl").read_bytes())
        await page.say("", files=(file_id,))
        await answer_questions(page)
        review = cards(page, "Review")[-1]
        await press(page, review, review["choices"][0])
        await page.until(lambda: cards(page, "RunCard"))
        async with open_page(web.address, thread_id=page.thread_id, language=language) as other:
            await eventually(lambda: web.runs.attempts)
            web.runs.advance()
            web.runs.advance(5)
            for seen in (page, other):
                await seen.until(lambda seen=seen: cards(seen, "RunCard") and run_card(seen)["fraction"] == 0.5)  # type: ignore[misc]
                assert run_card(seen)["curves"][0]["points"]
            web.runs.finish()
            await page.until(lambda: cards(page, "Comparison"))
            await page.until(lambda: cards(page, "Notice"))
            await page.say("Who are you?")
            await page.until(lambda: is_answered(page, "identity"))
            assert page.texts()[-1].startswith("##### ")
            before = len(page.messages)
            await page.say("/base")
            await page.until(lambda: len(page.messages) >= before + 2 and not page.is_loading)
            await page.say("And you?")
            await page.until(lambda: is_answered(page, "tiny\\-instruct"))
            await other.until(lambda: other.texts() == page.texts())
        async with open_page(web.address, thread_id=page.thread_id, language=language) as later:
            # The comparison above may still be answered while the thread goes on below it.
            await later.until(lambda: later.texts() == page.texts() and later.elements == page.elements)
