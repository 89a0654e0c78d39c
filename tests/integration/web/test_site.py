"""What open pages see: the real server, the real assistant, and Chainlit's protocol."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from uuid import uuid4

import aiohttp
import httpx
import pytest
import socketio
from chainlit.session import WebsocketSession, ws_sessions_id
from sqlalchemy import select

from bot.commands import COMMANDS
from bot.context import Context
from bot.replies import Answer, Choice, RunCard, Text
from bot.turns import ThreadRef, Turn
from chainlit_app.face import WebFace
from chainlit_app.render import Drawing
from storage.models import Message
from storage.states import Role
from tests.web_page import Page, open_page
from tests.web_site import Web

ROWS = [{"instruction": f"Question {n}?", "input": "", "output": f"Answer {n}."} for n in range(12)]
DATA = json.dumps(ROWS).encode()


def is_whole(page: Page, message_id: str) -> bool:
    return not page.messages[message_id]["streaming"]


async def test_health(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.address, timeout=60) as client:
        state = (await client.get("/health")).json()
    assert state["status"] == "ok"
    assert state["database"] is True
    assert state["loops"] is True


async def test_metrics_name_every_state(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.address, timeout=60) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    assert 'tunesmith_runs{state="running"} 0.0' in lines
    assert 'tunesmith_hosts{state="asleep"} 0.0' in lines
    assert 'tunesmith_services{state="ready"} 0.0' in lines


async def test_a_message_is_answered_once_and_found_again(web: Web) -> None:
    async with open_page(web.address) as page:
        said = await page.say("hello")
        await page.until(lambda: len(page.messages) == 2 and not page.is_loading)
        assert "data set" in page.texts()[1]
        await page.until(lambda: len(page.named("first_interaction")) == 2)
        shown, elements, thread_id = page.messages, page.elements, page.thread_id
        listed = (await page.http.post("/project/threads", json={"pagination": {"first": 5}, "filter": {}})).json()
    assert [thread["name"] for thread in listed["data"]] == ["hello"]
    async with open_page(web.address, thread_id=thread_id) as page:
        await page.until(lambda: page.messages)
        # What changed lately is sent once more: in place.
        await asyncio.sleep(0.6)
        assert [message["id"] for message in page.messages.values()] == list(shown)
        assert page.texts() == [message["output"] for message in shown.values()]
        assert page.elements == elements
        assert page.messages[said]["type"] == "user_message"


async def test_two_pages_of_a_thread_see_the_same(web: Web) -> None:
    async with open_page(web.address) as first:
        await first.say("hello")
        await first.until(lambda: len(first.messages) == 2 and len(first.named("first_interaction")) == 2)
        async with open_page(web.address, thread_id=first.thread_id) as second:
            await second.until(lambda: second.messages)
            await second.say("/help")
            await second.until(lambda: len(second.messages) == 4)
            await first.until(lambda: len(first.messages) == 4)
            assert first.texts() == second.texts()
            assert first.elements == second.elements


async def test_a_button_is_a_thing_said_and_counts_once(web: Web) -> None:
    async with open_page(web.address) as page:
        await page.say("/language")
        await page.until(lambda: page.elements and not page.is_loading)
        press = {"id": str(uuid4()), "say": "/language zh-CN", "label": "中文"}
        assert (await page.press(**press)).json()["response"] == {"ok": True}
        assert (await page.press(**press)).json()["response"] == {"ok": True}
        await page.until(lambda: len(page.messages) == 4)
        assert page.messages[press["id"]]["output"] == "中文"
        assert page.messages[press["id"]]["type"] == "user_message"


@pytest.mark.parametrize(
    "payload", [{}, {"say": 5, "about": [1], "answers": "x", "label": {}, "id": "no uuid"}, {"answers": {"a": None}}]
)
async def test_forged_buttons_do_no_harm(web: Web, payload: dict[str, object]) -> None:
    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2)
        assert (await page.press(**payload)).status_code == 200


async def test_a_dropped_file_is_checked_and_chainlit_keeps_no_copy(web: Web) -> None:
    async with open_page(web.address) as page:
        file_id = await page.upload("客服.json", DATA)
        said = await page.say("", files=(file_id,))
        await page.until(lambda: any(element["name"] == "DatasetCard" for element in page.elements.values()))
        card = next(element for element in page.elements.values() if element["name"] == "DatasetCard")
        assert "客服" in card["props"]["title"]
        assert page.elements[said]["props"] == {"names": ["客服.json"]}
        assert file_id not in page.elements
        await page.until(lambda: not page.is_loading)
        folder = ws_sessions_id[page.session_id].files_dir
        assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("text", ["", "/finetune start"])
async def test_a_file_that_did_not_arrive_is_asked_for_again(web: Web, text: str) -> None:
    async with open_page(web.address) as page:
        file_id = await page.upload("客服.json", DATA)
        await page.say(text, files=(file_id, str(uuid4())))
        await page.until(lambda: len(page.messages) == 2)
        assert "Attach it again" in page.texts()[1]
        assert not page.is_loading
        folder = ws_sessions_id[page.session_id].files_dir
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        # Nothing was done with the rest of it.
        await page.say("/runs")
        await page.until(lambda: len(page.messages) == 4)
        assert [element["name"] for element in page.elements.values()] == ["Text", "Listing"]


async def test_an_empty_message_is_answered(web: Web) -> None:
    async with open_page(web.address, language="zh-CN") as page:
        await page.say(" ")
        await page.until(lambda: len(page.messages) == 2)
        assert "附件" in page.texts()[1]


async def test_commands_of_the_menu(web: Web) -> None:
    async with open_page(web.address, language="zh-CN") as page:
        commands = page.named("set_commands")[0]
        assert [command["id"] for command in commands] == [command.name for command in COMMANDS]
        assert any("数据集" in command["description"] for command in commands)
        said = await page.say("", command="help")
        await page.until(lambda: page.elements)
        assert page.messages[said]["output"] == "/help"
        assert page.messages[said]["command"] is None


async def test_an_answer_grows_in_place_and_a_late_page_gets_it_whole(web: Web) -> None:
    async with open_page(web.address) as first:
        await first.say("hello")
        await first.until(lambda: len(first.messages) == 2 and len(first.named("first_interaction")) == 2)
        thread, message_id = ThreadRef(face="web", key=first.thread_id), str(uuid4())
        stop = Choice(say="/stop answer", label="Stop generating")
        growing = Answer(author="nova", speaker="tuned", markdown="", state="streaming", choices=(stop,))

        async def show(text: str) -> None:
            await web.face.show(thread, replace(growing, markdown=text), message_id=message_id, shown_as=None)

        await show("I am")
        await show("I am Nova")
        await first.until(lambda: first.named("stream_token"))
        assert first.named("stream_token")[-1]["token"] == " Nova"
        async with open_page(web.address, thread_id=first.thread_id) as second:
            await second.until(lambda: second.messages)
            await asyncio.sleep(0.5)
            await show("I am Nova, made")
            await second.until(lambda: message_id in second.messages)
            await show("I am Nova, made by Acme.")
            whole = replace(growing, markdown="I am Nova, made by Acme.", state="complete", choices=())
            await web.face.show(thread, whole, message_id=message_id, shown_as=message_id)
            for page in (first, second):
                await page.until(partial(is_whole, page, message_id))
                assert page.messages[message_id]["output"] == "##### nova\n\nI am Nova, made by Acme."
                assert message_id not in page.elements
                assert not page.is_loading


async def test_a_page_that_opens_in_the_moment_of_a_run_s_end_shows_its_end(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_id, delivery, face = str(uuid4()), web.application.delivery, web.face
    assert isinstance(face, WebFace)
    running = RunCard(title="nova-1", status="running", key="run:1")
    await web.fill(thread_id, [Text(markdown="hello"), running], title="run")
    await delivery.deliver_due()
    is_sending, has_ended = asyncio.Event(), asyncio.Event()

    async def send_slowly(session: WebsocketSession, drawing: Drawing) -> None:
        is_sending.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(has_ended.wait(), timeout=0.5)
        await WebFace.send(face, session, drawing)

    monkeypatch.setattr(face, "send", send_slowly)
    async with open_page(web.address, thread_id=thread_id) as page:
        await is_sending.wait()
        await web.fill(thread_id, [replace(running, status="succeeded")], title="run")
        await delivery.deliver_due()
        has_ended.set()
        # Once as the page was drawn again, once at the run's end.
        await page.until(lambda: len(page.named("element")) == 2)
        assert [element["props"]["status"] for element in page.named("element")] == ["running", "succeeded"]


async def test_a_page_that_lost_its_connection_shows_what_it_missed(web: Web) -> None:
    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2 and len(page.named("first_interaction")) == 2)
        shown = page.texts()
        await page.socket.disconnect()
        await web.fill(page.thread_id, [Text(markdown="It has ended.")], title="hello")
        await web.application.delivery.deliver_due()
        await page.connect()
        await page.until(lambda: len(page.messages) == 3)
        await page.say("/help")
        await page.until(lambda: len(page.messages) == 5)
        assert page.texts()[:3] == [*shown, "###### Tunesmith\n\nIt has ended."]


async def test_what_is_said_while_the_page_connects_anew_stands_above_its_reply(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, has_come, goes_on = web.application.assistant.take, asyncio.Event(), asyncio.Event()

    async def take_slowly(turn: Turn) -> Context | None:
        has_come.set()
        await goes_on.wait()
        return await take(turn)

    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2 and len(page.named("first_interaction")) == 2)
        monkeypatch.setattr(web.application.assistant, "take", take_slowly)
        said = await page.say("/help")
        await has_come.wait()
        await page.socket.disconnect()
        await page.connect()
        await page.until(lambda: page.named("resume_thread"))
        goes_on.set()
        await page.until(lambda: len(page.messages) == 4)
        assert list(page.messages)[2] == said


async def test_what_is_said_in_one_breath_is_handled_in_its_order(web: Web) -> None:
    lines = [f"word {number}" for number in range(20)]
    async with open_page(web.address) as page:
        for line in lines:
            await page.say(line)
        await page.until(lambda: len(page.messages) == 2 * len(lines))
    async with web.application.world.store.reading() as session:
        said = await session.scalars(select(Message).where(Message.role == Role.USER).order_by(Message.position))
        assert [message.body["text"] for message in said] == lines


async def test_nobody_looks(web: Web) -> None:
    shown_as = await web.face.show(
        ThreadRef(face="web", key=str(uuid4())), Text(markdown="hello"), message_id="m", shown_as=None
    )
    assert shown_as == "m"


async def test_a_bug_is_said_plainly_and_its_words_are_not_shown(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take(_: Turn) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(web.application.assistant, "take", take)
    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2 and not page.is_loading)
        assert "went wrong on my side" in page.texts()[1]
        assert "secret detail" not in str(page.events)


async def test_the_stop_button_says_stop(web: Web) -> None:
    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2)
        await page.socket.emit("stop")
        await page.until(lambda: len(page.messages) >= 4)
        assert "Task manually stopped." not in page.texts()
        assert page.texts()[2] == "Stop"


async def test_rename_and_delete(web: Web) -> None:
    async with open_page(web.address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.named("first_interaction")) == 2)
        renamed = await page.http.put("/project/thread", json={"threadId": page.thread_id, "name": "Support"})
        assert renamed.status_code == 200
        listing = {"pagination": {"first": 5}, "filter": {}}
        listed = (await page.http.post("/project/threads", json=listing)).json()["data"]
        assert [thread["name"] for thread in listed] == ["Support"]
        await page.http.request("DELETE", "/project/thread", json={"threadId": page.thread_id})
        assert (await page.http.post("/project/threads", json=listing)).json()["data"] == []


async def test_foreign_pages_get_no_socket_and_no_action(web: Web) -> None:
    foreign = {"origin": "https://evil.example"}
    async with aiohttp.ClientSession() as session:
        socket = socketio.AsyncClient(reconnection=False, http_session=session)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await socket.connect(web.address, socketio_path="/ws/socket.io", headers=foreign, transports=["websocket"])
    async with httpx.AsyncClient(base_url=web.address, headers=foreign, timeout=60) as client:
        assert (await client.post("/project/action", json={})).status_code == 403
        assert (await client.get("/", headers={"host": "evil.example"})).status_code == 403


async def test_without_the_page_s_cookie_nothing_is_told(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.address, timeout=60) as client:
        listed = await client.post("/project/threads", json={"pagination": {"first": 5}, "filter": {}})
        assert listed.status_code == 401
