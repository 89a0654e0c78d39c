"""The page in a real browser: every card, both themes, both languages, wide and narrow, by keyboard."""

from uuid import uuid4

import pytest
from playwright.async_api import WebSocketRoute, expect

from bot.replies import Answer, Notice, RunCard
from bot.texts import texts
from bot.turns import ThreadRef
from tests.acceptance.web.conftest import Open
from tests.web_samples import chinese, english
from tests.web_site import Web


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_first_screen_says_what_this_is(web: Web, open_window: Open, language: str) -> None:
    window = await open_window(language="en-US" if language == "en" else language)
    text = texts(language)
    for line in text("web.greeting").split("\n"):
        await expect(window.page.locator(".ts-greeting")).to_contain_text(line)
    for name in ("finetune", "example", "runs", "models"):
        await expect(window.page.get_by_role("button", name=text(f"starter.{name}"), exact=True)).to_be_visible()
    await expect(window.page.locator("#chat-input")).to_have_attribute("placeholder", text("web.composer"))
    assert await window.page.locator("html").get_attribute("lang") == language
    assert window.foreign(web.address) == []
    assert window.complaints == []


@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("en-US", "light", 1100), ("zh-CN", "dark", 1100), ("en-US", "dark", 390)]
)
async def test_every_card_stands_neatly(web: Web, open_window: Open, language: str, scheme: str, width: int) -> None:
    key = str(uuid4())
    bodies = english() if language == "en-US" else chinese()
    await web.fill(key, bodies, title="sample")
    window = await open_window(f"/thread/{key}", language=language, scheme=scheme, width=width)
    page = window.page
    await expect(page.locator(".step")).to_have_count(len(bodies))
    await expect(page.locator(".ts-card").first).to_be_visible()
    await expect(page.locator(".ts-chart svg[role=img]")).to_be_visible()
    wider = await page.evaluate(
        "() => [...document.querySelectorAll('.step, .step *')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"
    )
    assert wider == []
    assert window.foreign(web.address) == []
    assert window.complaints == []


async def test_cards_speak_their_thread_s_language_whatever_the_browser_s(web: Web, open_window: Open) -> None:
    key = str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}", language="zh-CN")).page
    chart = page.get_by_role("img", name="Loss by step")
    await expect(chart).to_be_visible()
    await expect(chart.locator(".ts-name")).to_have_text(["step", "loss"])
    await page.get_by_role("button", name="Show 2 more").click()
    await expect(page.get_by_role("button", name="Show fewer")).to_be_visible()


async def test_a_thread_opens_at_its_end(web: Web, open_window: Open) -> None:
    key = str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    await expect(page.locator(".step").last).to_be_in_viewport()
    await expect(page.get_by_role("button", name="Stop generating")).to_be_in_viewport()


async def test_stop_works_though_the_answer_grows_under_the_finger(web: Web, open_window: Open) -> None:
    key = str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    stop = page.get_by_role("button", name="Stop generating")
    await expect(stop).to_be_in_viewport()
    said = page.locator("[data-step-type=user_message]", has_text="Stop generating")
    await expect(said).to_have_count(0)
    await stop.hover()
    await page.mouse.down()
    await page.mouse.move(5, 5)
    await page.mouse.up()
    await expect(said).to_have_count(1)
    await expect(stop).to_be_enabled()
    await stop.press("Enter")
    await expect(said).to_have_count(2)


async def test_who_answers_is_always_said(web: Web, open_window: Open) -> None:
    key = str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    await expect(page.locator("h5", has_text="support-1").first).to_be_visible()
    await expect(page.locator("h6", has_text="SmolLM2 (base)")).to_be_visible()
    await expect(page.get_by_text("note:this may differ.")).to_be_visible()


async def test_folds_open_by_keyboard_and_buttons_can_be_reached(web: Web, open_window: Open) -> None:
    key = str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    summary = page.locator(".ts-card summary", has_text="LoRA").first
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Dropout")).to_be_visible()
    await page.get_by_role("button", name="Drop the 7 rows").focus()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="All problems")).to_be_focused()


async def test_a_live_card_moves_in_place(web: Web, open_window: Open) -> None:
    key, message_id = str(uuid4()), str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    await expect(page.locator(".step")).to_have_count(len(english()))
    for fraction in (0.1, 0.5):
        card = RunCard(title="moving", status="running", fraction=fraction, facts=(f"at {fraction}",))
        await web.face.show(ThreadRef(face="web", key=key), card, message_id=message_id, shown_as=None)
        bar = page.get_by_role("progressbar", name="moving")
        await expect(bar).to_have_attribute("aria-valuenow", str(round(fraction * 100)))
        await expect(page.get_by_text(f"at {fraction}")).to_be_visible()
    await expect(page.locator(".ts-card", has_text="moving")).to_have_count(1)


async def test_one_can_write_while_an_answer_grows(web: Web, open_window: Open) -> None:
    key, message_id = str(uuid4()), str(uuid4())
    await web.fill(key, english(), title="sample")
    page = (await open_window(f"/thread/{key}")).page
    await expect(page.locator(".step")).to_have_count(len(english()))
    growing = Answer(author="nova", speaker="tuned", markdown="I am **Nova**", state="streaming")
    await web.face.show(ThreadRef(face="web", key=key), growing, message_id=message_id, shown_as=None)
    await expect(page.locator(f"#step-{message_id} .font-bold", has_text="Nova")).to_be_visible()
    await page.locator("#chat-input").fill("hello")
    await expect(page.locator("#chat-submit")).to_be_enabled()


async def test_a_page_that_lost_its_connection_shows_what_it_missed_once(web: Web, open_window: Open) -> None:
    window = await open_window()
    page, lines = window.page, list[WebSocketRoute]()

    def connect(line: WebSocketRoute) -> None:
        lines.extend((line, line.connect_to_server()))

    await page.route_web_socket("**/ws/**", connect)
    await page.reload()
    await expect(page.locator("#starters button").first).to_be_enabled()
    await page.locator("#chat-input").fill("hello")
    await expect(page.locator("#chat-submit")).to_be_enabled()
    await page.keyboard.press("Enter")
    await expect(page.locator(".step")).to_have_count(2)
    await page.wait_for_url("**/thread/*")
    for line in list(lines):
        await line.close()
    card = RunCard(title="nova-1", status="succeeded", key="run:1")
    await web.fill(page.url.rpartition("/")[2], [Notice(text="You are talking to nova-1"), card], title="hello")
    await web.application.delivery.deliver_due()
    await expect(page.locator(".ts-card", has_text="nova-1")).to_have_count(1)
    await page.locator("#chat-input").fill("/runs ")
    await page.keyboard.press("Enter")
    await expect(page.locator(".ts-card")).to_have_count(2)
    await expect(page.locator(".ts-notice")).to_have_count(1)
    await expect(page.locator(".step")).to_have_count(6)
    assert len(lines) == 4
