"""What arrives is kept before it is acknowledged, and handled once, in the order in which it happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from bot.faces import NeverShown, Unreachable
from bot.settings import Settings
from bot.slack.arrivals import Arrival
from bot.slack.inbox import Inbox
from storage.store import Store
from storage.threads import mark_seen
from tests.databases import put_database
from tests.living import until


@pytest.fixture
async def url(tmp_path: Path) -> str:
    url = Settings(home=tmp_path).database_url
    await put_database(url)
    return url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    made = Store(url)
    yield made
    await made.close()


def arrival(order: int, *, root: str = "1.0", must_be_ours: bool = False) -> Arrival:
    return Arrival(
        event_id=f"T1/C1/{order}",
        team="T1",
        user="U1",
        channel="C1",
        root=root,
        order=f"{order:04d}",
        text=f"word {order}",
        must_be_ours=must_be_ours,
    )


class Hand:
    """Handles as the assistant would: a second time is noticed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.heard: list[str] = []
        self.trouble: list[Exception] = []

    async def __call__(self, one: Arrival) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        async with self._store.transaction() as session:
            if await mark_seen(session, face="slack", event_id=one.event_id):
                self.heard.append(one.text)


@pytest.fixture
def hand(store: Store) -> Hand:
    return Hand(store)


@pytest.fixture
async def inbox(store: Store, hand: Hand) -> AsyncIterator[Inbox]:
    made = Inbox(store, hand)
    yield made
    await made.close()


async def test_words_that_overtook_one_another_are_handled_as_they_were_said(store: Store, hand: Hand) -> None:
    # Longer than the deliveries take here, on a machine that does ten things at once.
    inbox = Inbox(store, hand, settle_s=5.0)
    for order in (3, 1, 4, 2):
        await inbox.accept(arrival(order))
    await until(lambda: len(hand.heard) == 4)
    await inbox.close()
    assert hand.heard == ["word 1", "word 2", "word 3", "word 4"]


async def test_what_is_told_twice_is_handled_once(inbox: Inbox, hand: Hand) -> None:
    for order in (1, 1, 2, 1):
        await inbox.accept(arrival(order))
    await until(lambda: "word 2" in hand.heard)
    await inbox.accept(arrival(1))
    await inbox.accept(arrival(3))
    await until(lambda: "word 3" in hand.heard)
    assert hand.heard == ["word 1", "word 2", "word 3"]


async def test_what_was_kept_is_handled_by_the_next_process(store: Store, hand: Hand) -> None:
    first = Inbox(store, hand)
    await first.accept(arrival(1))
    await first.close()
    assert hand.heard == []
    second = Inbox(store, hand)
    await second.resume()
    await until(lambda: hand.heard == ["word 1"])
    await second.close()


async def test_what_cannot_be_done_now_is_done_later_and_holds_back_its_thread_alone(inbox: Inbox, hand: Hand) -> None:
    hand.trouble = [Unreachable("no network", after_s=0.5)]
    await inbox.accept(arrival(1))
    await inbox.accept(arrival(2))
    await inbox.accept(arrival(9, root="2.0"))
    await until(lambda: len(hand.heard) == 3)
    assert hand.heard.index("word 1") < hand.heard.index("word 2")


async def test_what_could_not_be_kept_is_not_acknowledged(store: Store, inbox: Inbox, hand: Hand) -> None:
    async with store.transaction() as session:
        await session.execute(text("ALTER TABLE inbox RENAME TO elsewhere"))
    for told in await asyncio.gather(*(inbox.accept(arrival(order)) for order in (1, 2)), return_exceptions=True):
        assert isinstance(told, DBAPIError)
    async with store.transaction() as session:
        await session.execute(text("ALTER TABLE elsewhere RENAME TO inbox"))
    await inbox.accept(arrival(1))
    await until(lambda: hand.heard == ["word 1"])


async def test_what_the_database_refuses_for_a_while_is_done_afterwards(
    store: Store, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.inbox.SECONDS_BETWEEN_ATTEMPTS", 0.1)
    handled: list[Arrival] = []

    async def handle(one: Arrival) -> None:
        await hand(one)
        handled.append(one)
        if len(handled) == 1:
            async with store.transaction() as session:
                await session.execute(text("ALTER TABLE inbox RENAME TO elsewhere"))

    inbox = Inbox(store, handle)
    with capture_logs() as logged:
        await inbox.accept(arrival(1))
        await until(lambda: any(line["event"] == "slack.line_failed" for line in logged))
    async with store.transaction() as session:
        await session.execute(text("ALTER TABLE elsewhere RENAME TO inbox"))
    await until(lambda: len(handled) == 2)
    await inbox.accept(arrival(2))
    await until(lambda: hand.heard == ["word 1", "word 2"])
    await inbox.close()


async def test_what_never_can_be_done_is_forgotten(inbox: Inbox, hand: Hand) -> None:
    hand.trouble = [NeverShown("the channel is gone")]
    await inbox.accept(arrival(1))
    await inbox.accept(arrival(2))
    await until(lambda: hand.heard == ["word 2"])


async def test_a_thread_becomes_ours_by_a_mention_that_came_later(inbox: Inbox, hand: Hand) -> None:
    await inbox.accept(arrival(2, must_be_ours=True))
    await inbox.accept(arrival(7, root="2.0", must_be_ours=True))
    await inbox.accept(arrival(1))
    await until(lambda: len(hand.heard) == 2)
    assert hand.heard == ["word 1", "word 2"]


async def test_a_mention_may_come_minutes_after_what_was_said_below_it(store: Store, hand: Hand) -> None:
    # Slack tells what was not acknowledged again after five minutes.
    times = iter((0.0, 290.0))
    inbox = Inbox(store, hand, clock=lambda: next(times))
    await inbox.accept(arrival(2, must_be_ours=True))
    await inbox.accept(arrival(7, root="2.0", must_be_ours=True))
    await inbox.accept(arrival(1))
    await until(lambda: len(hand.heard) == 2)
    assert hand.heard == ["word 1", "word 2"]
    await inbox.close()


async def test_what_was_said_before_the_mention_is_not_for_us(inbox: Inbox, hand: Hand) -> None:
    await inbox.accept(arrival(1, must_be_ours=True))
    await inbox.accept(arrival(3, must_be_ours=True))
    await inbox.accept(arrival(2))
    await until(lambda: len(hand.heard) == 2)
    await inbox.accept(arrival(4, must_be_ours=True))
    await until(lambda: len(hand.heard) == 3)
    assert hand.heard == ["word 2", "word 3", "word 4"]


async def test_of_what_was_said_elsewhere_only_so_much_is_kept(
    store: Store, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.inbox.MOST_STRANGE", 2)
    inbox = Inbox(store, hand)
    for order in (2, 3, 4):
        await inbox.accept(arrival(order, must_be_ours=True))
    await inbox.accept(arrival(1))
    await until(lambda: len(hand.heard) == 3)
    assert hand.heard == ["word 1", "word 3", "word 4"]
    await inbox.close()


async def test_a_word_that_comes_while_its_mention_is_being_written_is_kept(
    store: Store, inbox: Inbox, hand: Hand
) -> None:
    async with store.transaction():
        mention = asyncio.create_task(inbox.accept(arrival(1)))
        await asyncio.sleep(0)
        await inbox.accept(arrival(2, must_be_ours=True))
        assert not mention.done()
    await mention
    await until(lambda: len(hand.heard) == 2)
    assert hand.heard == ["word 1", "word 2"]


class LateStore(Store):
    """Answers a question late: what was true when it looked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.has_looked, self.may_answer = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        async with super().reading() as session:
            yield session
        self.has_looked.set()
        await self.may_answer.wait()


async def test_a_thread_that_became_ours_while_we_looked_is_ours(url: str, hand: Hand) -> None:
    late = LateStore(url)
    inbox = Inbox(late, hand)
    word = asyncio.create_task(inbox.accept(arrival(2, must_be_ours=True)))
    await late.has_looked.wait()
    await inbox.accept(arrival(1))
    late.may_answer.set()
    await word
    await until(lambda: len(hand.heard) == 2)
    assert hand.heard == ["word 1", "word 2"]
    await inbox.close()
    await late.close()
