"""The database itself: what is said where it does not open, migrations, one writer, a server that goes and comes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from bot.commands import Request
from bot.context import Context
from bot.databases import bring_up_to_date
from bot.doctor import diagnose
from bot.settings import Settings
from bot.slack.arrivals import Arrival
from bot.slack.inbox import Inbox
from bot.stopping import CannotGoOnError
from bot.texts import texts
from storage import migrations
from storage.database_errors import CannotUseDatabase
from storage.lease import Lease
from storage.models import Attempt, Message, Run, Thread, User
from storage.states import Role, RunState
from storage.store import Store, create_engine
from storage.threads import mark_seen, open_thread, put_message
from tests.integration.test_terminal_session import Terminal
from tests.living import living, until
from tests.postgresql import PASSWORD, WRITTEN_PASSWORD, PostgresServer
from tests.unit.slack.test_inbox import Hand, arrival
from tests.web_page import open_page
from tests.web_site import running_site

REVISIONS = sorted(path.name[:4] for path in (migrations.FOLDER / "versions").glob("[0-9]*.py"))


async def upgrade_to(url: str, revision: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda found: command.upgrade(migrations.config(found), revision))
    await engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_revision_comes_to_what_the_models_say_and_keeps_its_rows(
    server: PostgresServer, revision: str
) -> None:
    url = server.new_database()
    await upgrade_to(url, revision)
    name = url.rpartition("/")[2]
    server.execute("INSERT INTO users VALUES ('1', 'local', '{}', now())", database=name)

    await asyncio.gather(migrations.upgrade(url), migrations.upgrade(url))

    await migrations.check(url)
    assert await migrations.find_revision(url) == migrations.newest_revision()
    assert server.execute("SELECT name FROM users", database=name) == [("local",)]


async def test_a_character_that_postgresql_cannot_keep_is_left_out(url: str) -> None:
    store = Store(url)
    async with store.transaction() as session:
        thread, _ = await open_thread(session, face="web", key="t\0", user_name="Ann\0", language="en")
        said = {"kind": "said", "markdown": "one\0two 你好"}
        await put_message(session, thread, role=Role.USER, body=said)
    async with store.reading() as session:
        assert (await session.scalars(select(User.name).where(User.name == "An\0n"))).all() == ["Ann"]
        assert (await session.scalars(select(Message.body))).all() == [said], "JSON writes it as an escape"
    await store.close()


def trouble(server: PostgresServer, kind: str) -> tuple[str, str]:
    """A URL that does not do, and what is said of it."""
    if kind == "password":
        return server.url("postgres", password="not-the-word"), 'password authentication failed for user "tunesmith"'
    if kind == "database":
        return server.url("missing"), 'database "missing" does not exist'
    if kind == "server":
        return f"postgresql://tunesmith:{WRITTEN_PASSWORD}@127.0.0.1:1/x", "cannot be reached: Connection refused"
    if kind == "option":
        return f"{server.url('postgres')}?ssl=true", 'invalid connection option "ssl"'
    return server.new_database(template="template0", options="ENCODING 'SQL_ASCII' LOCALE 'C'"), "SQL_ASCII"


@pytest.mark.parametrize("kind", ["password", "database", "server", "option", "encoding"])
async def test_what_does_not_open_is_said_in_a_sentence_without_the_password(
    server: PostgresServer, tmp_path: Path, kind: str
) -> None:
    url, said = trouble(server, kind)
    settings = Settings(home=tmp_path, database_url=url)
    with pytest.raises(CannotGoOnError) as caught:
        await bring_up_to_date(settings)
    sentence = texts("en")(f"cannot.{caught.value.code}", **caught.value.values)
    assert said in sentence
    assert "\n" not in sentence
    (found,) = (one for one in await diagnose(settings) if one.name == "database")
    assert (found.state, found.sentence(texts("en"))) == ("bad", sentence)
    for secret in (PASSWORD, WRITTEN_PASSWORD, "not-the-word"):
        assert secret not in sentence + repr(settings)


def test_the_command_line_ends_with_that_sentence(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", server.url("missing"))
    command = [sys.executable, "-m", "bot.cli", "chat", "--language", "en", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LANG": "en"})
    assert done.returncode == 1
    assert done.stdout + done.stderr == (
        f"There is no such database at postgresql://tunesmith@127.0.0.1:{server.port}/missing: FATAL: database "
        '"missing" does not exist. Make it (createdb --encoding=UTF8), or correct its name in TUNESMITH_DATABASE_URL.\n'
    )


async def test_one_who_may_make_nothing_is_told_so(server: PostgresServer) -> None:
    name = server.new_database().rpartition("/")[2]
    server.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    url = f"postgresql://guest:guest@127.0.0.1:{server.port}/{name}"
    with pytest.raises(CannotUseDatabase) as caught:
        await migrations.upgrade(url)
    assert (caught.value.code, caught.value.words) == ("not_allowed", "permission denied for schema public")


async def test_processes_that_write_at_once_do_one_after_the_other(url: str) -> None:
    """Two stores are two processes: what each reads before it writes is still so when it writes."""
    stores = [Store(url), Store(url)]

    async def say(number: int) -> bool:
        async with stores[number % 2].transaction() as session:
            is_new = await mark_seen(session, face="test", event_id=str(number // 2))
            if is_new:
                thread, _ = await open_thread(session, face="test", key="one", user_name="local", language="en")
                for key in (None, "card"):
                    await put_message(session, thread, role=Role.ASSISTANT, body={"n": number}, key=key)
        return is_new

    said = await asyncio.gather(*(say(number) for number in range(40)))

    assert sum(said) == 20
    async with stores[0].reading() as session:
        positions = list(await session.scalars(select(Message.position).order_by(Message.position)))
        card = await session.scalar(select(Message).where(Message.key == "card"))
        thread = await session.scalar(select(Thread))
        assert len((await session.scalars(select(User))).all()) == 1
    assert positions == list(range(21))
    assert card is not None
    assert card.revision == 20
    assert thread is not None
    assert thread.messages_count == 21
    for store in stores:
        await store.close()


async def test_a_reader_sees_one_state_and_writes_nothing(url: str) -> None:
    store = Store(url)
    async with store.reading() as session:
        assert (await session.scalars(select(User))).all() == []
        async with store.transaction() as writing:
            writing.add(User(name="local"))
        assert (await session.scalars(select(User))).all() == []
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await session.execute(text("DELETE FROM users"))
    async with store.reading() as session:
        assert [user.name for user in await session.scalars(select(User))] == ["local"]
    await store.close()


async def test_the_lease_is_one_process_s_until_its_connection_is_gone(server: PostgresServer, url: str) -> None:
    stores = [Store(url), Store(url)]
    first, second = (Lease(store.engine) for store in stores)
    assert not await second.is_taken()
    assert await first.try_acquire()
    assert await first.try_acquire()
    assert not await second.try_acquire()
    assert await second.is_taken()

    losing = asyncio.create_task(first.lost())
    end_connections(server, url)
    await asyncio.wait_for(losing, timeout=60)
    assert not first.is_held
    await until_taken(second)
    assert not await first.try_acquire()

    await second.release()
    await second.release()
    await until_taken(first)
    await first.release()
    for store in stores:
        await store.close()


async def until_taken(lease: Lease) -> None:
    """The server frees it a moment after its connection is closed, from whichever side."""
    async with asyncio.timeout(60):
        while not await lease.try_acquire():  # noqa: ASYNC110  no lock wakes us
            await asyncio.sleep(0.02)


def end_connections(server: PostgresServer, url: str) -> None:
    """As if the server had been started anew, for one database."""
    name = url.rpartition("/")[2]
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


async def test_turns_go_on_after_their_connections_were_lost(server: PostgresServer, tmp_path: Path, url: str) -> None:
    async with living(tmp_path) as life:
        await life.house.say("/help")
        end_connections(server, url)
        assert await life.house.say("/runs")
        store = life.house.application.world.store
        async with store.transaction() as session:
            await session.execute(select(User))
            end_connections(server, url)
            with pytest.raises(DBAPIError):
                await session.execute(select(User))
            await session.rollback()
        assert await life.house.say("/models")


async def test_a_turn_whose_connection_is_lost_in_the_middle_is_done_once(
    server: PostgresServer, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life:
        handlers = life.house.assistant._handlers
        help_, is_lost = handlers["help"], iter((True,))

        async def losing(context: Context, request: Request) -> None:
            if next(is_lost, False):
                await asyncio.to_thread(end_connections, server, url)
            await help_(context, request)

        monkeypatch.setitem(handlers, "help", losing)
        replies = await life.house.say("/help", event_id="one")
        assert [reply.kind for reply in replies] == ["listing"]
        assert await life.house.say("/help", event_id="one") == []
        assert [message.position for message in await life.rows(Message)] == [0, 1]


async def test_loops_stop_with_the_server_and_go_on_with_it(server: PostgresServer, tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        application = life.house.application
        async with application.running():
            await until(lambda: application.turn.is_held)
            run = await life.begin()
            async with server.away():
                await until(lambda: not application.turn.is_held)
                with pytest.raises((DBAPIError, OSError)):
                    await life.row(Run)
            await until(lambda: application.turn.is_held)
            async with asyncio.timeout(60):
                while (await life.row(Run)).state is not RunState.SUCCEEDED:
                    life.runs.finish()
                    await asyncio.sleep(0.05)
        assert [row.id for row in await life.rows(Run)] == [run.id]
        assert [row.number for row in await life.rows(Attempt)] == [1]


async def test_who_speaks_while_the_server_is_away_is_told_so(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = texts("en")("error.database")
    async with running_site(tmp_path, monkeypatch) as web, open_page(web.address) as page:
        terminal = Terminal(application=web.application)
        await page.say("/help")
        await page.until(lambda: len(page.messages) == 2)
        async with server.away():
            await page.say("/runs")
            await page.until(lambda: words in str(page.messages))
            assert not await terminal.session.say("/runs")
            assert words in terminal.text
        before = len(page.messages)
        await page.say("/models")
        await page.until(lambda: len(page.messages) == before + 2)
        assert await terminal.session.say("/runs")


async def test_what_slack_delivered_waits_for_the_server(server: PostgresServer, url: str) -> None:
    store = Store(url)
    hand, is_down = Hand(store), asyncio.Event()

    async def losing(one: Arrival) -> None:
        if not is_down.is_set():
            await asyncio.to_thread(server.stop)
            is_down.set()
        await hand(one)

    inbox = Inbox(store, losing)
    await inbox.accept(arrival(1))
    async with asyncio.timeout(60):
        await is_down.wait()
    await asyncio.to_thread(server.start)
    await until(lambda: hand.heard == ["word 1"])
    await inbox.close()
    await store.close()
