"""The dialogs once more, in a page of the web chat, through Chainlit's protocol."""

import json
from pathlib import Path

import pytest

from tests.conversing import identity, support
from tests.dialogs import CHINESE, ENGLISH, Dialog
from tests.ended import end_run
from tests.tuned import add_tuned_model
from tests.web_page import Page, open_page
from tests.web_site import Web


def seen(page: Page) -> dict[str, str]:
    """What each message shows, its card included."""
    cards = {card["forId"]: json.dumps(card["props"], ensure_ascii=False) for card in page.elements.values()}
    return {key: message["output"] + cards.get(key, "") for key, message in page.messages.items()}


async def speak(page: Page, said: str, folder: Path) -> None:
    if said.startswith("FILE:"):
        name = said.removeprefix("FILE:")
        await page.say("", files=(await page.upload(name, (folder / name).read_bytes()),))
    elif said.startswith("about="):
        about, _, text = said.removeprefix("about=").partition(" ")
        await page.press(say=text, label=text, about=about)
    else:
        await page.say(said)


async def hold(web: Web, dialog: Dialog, folder: Path, language: str) -> None:
    identity(folder / "identity.jsonl")
    support(folder / "support.jsonl")
    (folder / "notes.txt").write_text("Just some words.\nAnd some more.\n")
    await add_tuned_model(web.application.world.store, "nova-1")
    async with open_page(web.address, language=language) as page:
        for said, answered in dialog:
            if said.startswith("ENDED:"):
                await end_run(web.application.world.store, said.removeprefix("ENDED:"))
                continue
            before = seen(page)
            await speak(page, said, folder)

            def missing(before: dict[str, str] = before, answered: str = answered) -> list[str]:
                news = "\n".join(words for key, words in seen(page).items() if before.get(key) != words)
                return [expected for expected in answered.split("|") if expected not in news]

            try:
                await page.until(lambda: not missing() and not page.is_loading)
            except TimeoutError:
                pytest.fail(f"after {said!r} never came {missing()} in:\n{list(seen(page).values())[-3:]}")


@pytest.mark.parametrize("name", ENGLISH)
async def test_dialog_in_english(web: Web, tmp_path: Path, name: str) -> None:
    await hold(web, ENGLISH[name], tmp_path, "en-US")


@pytest.mark.parametrize("name", CHINESE)
async def test_dialog_in_chinese(web: Web, tmp_path: Path, name: str) -> None:
    await hold(web, CHINESE[name], tmp_path, "zh-CN")
