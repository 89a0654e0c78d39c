"""What is said reaches a face once, a thread's messages in order, whatever the face does in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import select, update

from bot.context import say
from bot.delivery import MAY_COME_BACK, Delivery
from bot.faces import NeverShown, Unreachable
from bot.replies import Notice, Reply
from bot.settings import Settings
from bot.turns import ThreadRef
from storage.models import Message, Outbox, Thread, now
from storage.store import Store
from storage.threads import open_thread
from tests.databases import put_database
from tests.living import until


@dataclass
class FarFace:
    """A face behind a network: what it does with a message is told to it by its text."""

    is_remote: ClassVar[bool] = True
    only_thread: str | None = None
    shown: list[str] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        await self.gate.wait()
        assert isinstance(reply, Notice)
        if reply.text in self.trouble:
            self.refused.append(reply.text)
            raise self.trouble[reply.text]
        self.shown.append(reply.text)
        return shown_as or f"shown-{message_id}"

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)


@dataclass
class Post:
    store: Store
    face: FarFace
    delivery: Delivery

    async def say(self, *lines: str, thread: str = "one", key: str | None = None) -> list[str]:
        """Write messages and have them delivered."""
        async with self.store.transaction() as session:
            row, _ = await open_thread(session, face="far", key=thread, user_name="ann", language="en")
            messages = [await say(session, row, Notice(text=line, key=key)) for line in lines]
        await self.delivery.deliver([message.id for message in messages])
        return [message.id for message in messages]

    async def show_once(self, message_id: str, line: str) -> bool:
        """Show a line over a message, and keep it nowhere."""
        async with self.store.reading() as session:
            message = await session.get_one(Message, message_id)
            thread = await session.get_one(Thread, message.thread_id)
        return await self.delivery.show_once(thread, message_id, Notice(text=line))

    async def again(self) -> None:
        """As if every wait were over."""
        async with self.store.transaction() as session:
            await session.execute(update(Outbox).values(not_before=now()))
        await self.delivery.deliver_due()

    async def settled(self) -> None:
        """Wait until every showing has ended, and what came of it is written down."""
        await until(lambda: len(asyncio.all_tasks()) == 1)

    async def waiting(self) -> int:
        async with self.store.reading() as session:
            return len((await session.scalars(select(Outbox))).all())


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    url = Settings(home=tmp_path).database_url
    await put_database(url)
    store, face = Store(url), FarFace()
    delivery = Delivery(store, {"far": face})
    yield Post(store, face, delivery)
    await delivery.close()
    await store.close()


async def test_nobody_waits_for_a_remote_face(post: Post) -> None:
    await asyncio.wait_for(post.say("a", "b"), timeout=60)
    assert post.face.shown == []
    post.face.gate.set()
    await until(lambda: post.face.shown == ["a", "b"])


async def test_a_message_that_waits_holds_back_those_after_it(post: Post) -> None:
    post.face.gate.set()
    post.face.trouble["b"] = Unreachable("no network")
    await post.say("a", "b", "c")
    await post.say("d")
    await post.say("elsewhere", thread="two")
    # Which of two threads is first nobody promises.
    await until(lambda: sorted(post.face.shown) == ["a", "elsewhere"])
    await post.settled()
    post.face.trouble.clear()
    await post.again()
    await until(lambda: post.face.shown[2:] == ["b", "c", "d"])


async def test_a_state_that_must_wait_holds_back_nothing(post: Post) -> None:
    post.face.gate.set()
    await post.say("card 1", key="card")
    await until(lambda: post.face.shown == ["card 1"])
    post.face.trouble["card 2"] = Unreachable("shown a moment ago", after_s=60)
    await post.say("card 2", key="card")
    await post.say("after")
    await until(lambda: post.face.shown == ["card 1", "after"])
    await post.settled()
    post.face.trouble.clear()
    await post.say("card 3", key="card")
    await until(lambda: post.face.shown == ["card 1", "after", "card 3"])
    await post.settled()
    assert await post.waiting() == 0


async def test_a_message_that_breaks_the_face_holds_back_nothing(post: Post) -> None:
    post.face.gate.set()
    post.face.trouble["b"] = ValueError("a bug of the face")
    await post.say("a", "b", "c")
    await until(lambda: post.face.shown == ["a", "c"])
    await post.settled()
    assert await post.waiting() == 1


async def test_what_can_never_be_shown_is_forgotten(post: Post) -> None:
    post.face.gate.set()
    post.face.trouble["a"] = NeverShown("the channel is gone")
    await post.say("a", "b")
    await until(lambda: post.face.shown == ["b"])
    await post.settled()
    assert await post.waiting() == 0


async def test_what_stands_in_a_place_that_is_gone_waits_for_a_while(post: Post) -> None:
    post.face.gate.set()
    await post.say("card 1", key="card")
    await until(lambda: post.face.shown == ["card 1"])
    post.face.trouble["card 2"] = NeverShown("the app was put out of the channel")
    await post.say("card 2", key="card")
    await post.settled()
    assert await post.waiting() == 1
    post.face.trouble.clear()
    await post.again()
    await until(lambda: post.face.shown == ["card 1", "card 2"])
    await post.settled()
    assert await post.waiting() == 0

    post.face.trouble["card 3"] = NeverShown("the app was put out of the channel")
    (message_id,) = await post.say("card 3", key="card")
    await post.settled()
    async with post.store.transaction() as session:
        (await session.get_one(Message, message_id)).updated_at = now() - MAY_COME_BACK
    await post.again()
    await post.settled()
    assert await post.waiting() == 0


async def test_many_threads_are_shown_side_by_side(post: Post) -> None:
    for number in range(20):
        await post.say(f"{number}", thread=f"thread {number}")
    post.face.gate.set()
    await until(lambda: len(post.face.shown) == 20)
    async with post.store.reading() as session:
        assert len((await session.scalars(select(Thread))).all()) == 20


async def test_what_nothing_keeps_is_shown_by_a_face_that_was_busy(post: Post) -> None:
    post.face.gate.set()
    post.face.trouble["made"] = post.face.trouble["secret"] = Unreachable("busy", after_s=0)
    (message_id,) = await post.say("made")
    showing = asyncio.create_task(post.show_once(message_id, "secret"))
    await until(lambda: post.face.refused == ["made", "made"])
    del post.face.trouble["made"]
    await until(lambda: post.face.refused[2:] == ["secret"])
    assert post.face.shown == ["made"]
    post.face.trouble.clear()
    assert await showing
    assert post.face.shown == ["made", "secret"]


async def test_what_nothing_keeps_is_not_shown_where_the_place_is_gone(post: Post) -> None:
    post.face.gate.set()
    post.face.trouble["secret"] = NeverShown("the channel is gone")
    (message_id,) = await post.say("made")
    assert not await post.show_once(message_id, "secret")
    assert post.face.shown == ["made"]


async def test_what_is_said_after_the_end_stays_in_the_outbox(post: Post) -> None:
    post.face.gate.set()
    await post.delivery.close()
    await post.say("too late")
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1, "a showing outlives the delivery, and then the database"
    assert await post.waiting() == 1
    assert post.face.shown == []


async def test_after_the_end_no_showing_is_begun_by_whoever_was_on_the_way(post: Post) -> None:
    post.face.gate.set()
    (message_id,) = await post.say("made")
    await until(lambda: post.face.shown == ["made"])
    await post.delivery.close()
    assert not await post.show_once(message_id, "secret")
    assert post.face.shown == ["made"]
