"""Keys to the endpoint, in the chat: shown once, kept hashed."""

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.replies import Listing, Reply, Text
from bot.turns import Rights
from storage.keys import digest_of, key_of
from storage.models import ApiKey, Host, Message, Model, Service, User
from tests.conversing import Bench, bench
from tests.recording import words

SECRET = re.compile(r"tsk_[\w-]{43}")
ASK = Rights(may_manage=False, whom_to_ask=("Ann Lee",))


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        yield made


def secret_in(replies: list[Reply]) -> str:
    found = SECRET.search("\n".join(map(words, replies)))
    assert found is not None
    return found[0]


async def keys(talk: Bench) -> list[ApiKey]:
    async with talk.world.store.reading() as session:
        return list(await session.scalars(select(ApiKey).order_by(ApiKey.created_at)))


async def add_service(talk: Bench, name: str, owner: str | None) -> str:
    async with talk.world.store.transaction() as session:
        base = await session.scalar(select(Model))
        assert base is not None
        host = await session.scalar(select(Host)) or Host(id="host", base_model_id=base.id)
        session.add(host)
        if owner and await session.get(User, owner) is None:
            session.add(User(id=owner, name=owner))
        await session.flush()
        service = Service(id=f"id-{name}", name=name, model_id=base.id, host_id=host.id, user_id=owner)
        session.add(service)
    return service.id


async def test_a_key_is_shown_with_the_address_that_programs_ask(talk: Bench) -> None:
    (shown,) = await talk.say("/key new here")
    assert "http://127.0.0.1:8000/v1" in words(shown)
    settings = talk.world.settings.model_copy(update={"public_url": "https://tune.example.org"})
    talk.world = replace(talk.world, settings=settings)
    (shown,) = await talk.say("/key new everywhere")
    assert "https://tune.example.org/v1" in words(shown)
    assert "127.0.0.1" not in words(shown)


async def test_a_key_is_shown_once_and_kept_nowhere(
    talk: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    (shown,) = await talk.say("/key new laptop limit=5")
    secret = secret_in([shown])
    assert isinstance(shown, Text)
    assert f"```\n{secret}\n```" in shown.markdown
    (key,) = await keys(talk)
    assert (key.name, key.digest, key.ending) == ("laptop", digest_of(secret), secret[-4:])
    assert (key.requests_per_minute, key.services) == (5, [])
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert any(path.name.startswith("tunesmith.db") for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    captured = capsys.readouterr()
    assert secret not in caplog.text + captured.out + captured.err
    async with talk.world.store.reading() as session:
        (kept,) = (await session.scalars(select(Message.body).where(Message.role == "assistant"))).all()
    assert f"ending in `{secret[-4:]}`" in kept["markdown"]


async def test_a_key_that_cannot_be_shown_is_revoked(talk: Bench) -> None:
    talk.face.is_reachable = False
    await talk.say("/key new laptop")
    (key,) = await keys(talk)
    assert key.revoked_at is not None
    assert not talk.went_well


async def test_keys_are_listed_revoked_and_named_anew(talk: Bench) -> None:
    first = secret_in(await talk.say("/key new laptop"))
    assert "already" in words((await talk.say("/key new laptop"))[0])
    secret_in(await talk.say("/key new"))
    (listing,) = await talk.say("/key")
    assert isinstance(listing, Listing)
    assert [(item.title, item.choices[0].say) for item in listing.items] == [
        ("laptop", "/key revoke laptop"),
        ("key-1", "/key revoke key-1"),
    ]
    assert listing.items[0].status == f"…{first[-4:]}"
    assert "60 requests a minute" in listing.items[0].detail
    assert "Never used" in listing.items[0].detail
    assert "revoked" in words((await talk.say("/key revoke laptop"))[0])
    async with talk.world.store.reading() as session:
        assert await key_of(session, first) is None
    assert "no key `laptop`" in words((await talk.say("/key revoke laptop"))[0])
    again = secret_in(await talk.say("/key new laptop"))
    assert again != first
    assert [key.name for key in await keys(talk)] == ["key-1", "laptop"]


async def test_a_key_is_its_persons(talk: Bench) -> None:
    await talk.say("/key new shared", user="ann")
    secret_in(await talk.say("/key new shared", user="bob"))
    assert "no key" in words((await talk.say("/key revoke mine", user="bob"))[0])
    (listing,) = await talk.say("/key", user="bob")
    assert isinstance(listing, Listing)
    assert [item.title for item in listing.items] == ["shared"]
    await talk.say("/key revoke shared", user="bob")
    assert [key.revoked_at is None for key in await keys(talk)] == [True, False]


async def test_a_key_is_limited_to_services_that_its_person_may_use(talk: Bench) -> None:
    mine, everyones = await add_service(talk, "mine", "ann"), await add_service(talk, "everyones", None)
    await add_service(talk, "theirs", "bob")
    secret_in(await talk.say("/key new both services=mine, everyones", user="ann"))
    (key,) = await keys(talk)
    assert key.services == [mine, everyones]
    assert "theirs" in words((await talk.say("/key new x services=theirs", user="ann"))[0])
    (listing,) = await talk.say("/key", user="ann")
    assert "Opens everyones, mine" in words(listing)
    assert len(await keys(talk)) == 1


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("/key give me one", "Say `/key`"),
        ("/key new two words", "“words” cannot be a key's name"),
        ("/key new a/b", "“a/b” cannot"),
        ("/key new x limit=0", "“0” is no limit"),
        ("/key new x limit=many", "“many” is no limit"),
        ("/key new x colour=red", "no option “colour”"),
        ("/key revoke", "Say `/key`"),
    ],
)
async def test_what_is_unclear_is_said_and_makes_nothing(talk: Bench, said: str, answered: str) -> None:
    (reply,) = await talk.say(said)
    assert answered in words(reply)
    assert not talk.went_well
    assert await keys(talk) == []


async def test_who_may_not_manage_makes_no_key(talk: Bench) -> None:
    assert "Ask Ann Lee." in words((await talk.say("/key new", rights=ASK))[0])
    assert await keys(talk) == []


async def test_the_chinese_words(talk: Bench) -> None:
    await talk.say("/language zh")
    assert "只显示这一次" in words((await talk.say("/key 新建 手机 限制=9"))[0])
    (key,) = await keys(talk)
    assert (key.name, key.requests_per_minute) == ("手机", 9)
    assert "已撤销" in words((await talk.say("/key 撤销 手机"))[0])
