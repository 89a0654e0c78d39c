"""Chainlit's data layer over a real database."""

import asyncio

import pytest
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import PersistedUser, User
from sqlalchemy import func, select

from bot.replies import BODIES, Notice, Question, Reply, Said, Text
from bot.stoppable import Stoppable, Stopped
from chainlit_app.data_layer import FACE, DataLayer
from storage.models import Message, Thread
from storage.states import Role
from storage.store import Store
from storage.threads import open_thread, put_message


async def talk(store: Store, key: str, *bodies: Said | Reply, title: str = "", user: str = "local") -> None:
    """Say these in a thread, as the assistant does."""
    async with store.transaction() as session:
        thread, _ = await open_thread(session, face=FACE, key=key, user_name=user, language="en")
        thread.title = title or thread.title
        for body in bodies:
            role = Role.USER if isinstance(body, Said) else Role.ASSISTANT
            stored = BODIES.dump_python(body, mode="json")
            await put_message(session, thread, role=role, body=stored, key=getattr(body, "key", None))


async def local(layer: DataLayer) -> PersistedUser:
    user = await layer.create_user(User(identifier="local"))
    assert user is not None
    return user


async def titles(
    layer: DataLayer, *, cursor: str | None = None, first: int = 10, search: str | None = None
) -> list[str]:
    user = await local(layer)
    page = await layer.list_threads(Pagination(first=first, cursor=cursor), ThreadFilter(userId=user.id, search=search))
    return [thread["name"] or "" for thread in page.data]


async def test_a_person_is_made_once(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    assert await layer.get_user("local") is None
    assert (await local(layer)).id == (await local(layer)).id
    found = await layer.get_user("local")
    assert found is not None
    assert found.identifier == "local"


async def test_a_thread_is_drawn_from_the_table(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    question = Question(id="preset", markdown="How thorough?", key="question:1")
    await talk(store, "t-1", Said(text="/finetune"), question, title="/finetune")
    await talk(store, "t-1", Question(id="preset", markdown="How thorough?", answered="Quick", key="question:1"))
    thread = await layer.get_thread("t-1")
    assert thread is not None
    assert thread["userIdentifier"] == "local"
    assert [step["type"] for step in thread["steps"]] == ["user_message", "assistant_message"]
    assert thread["elements"] is not None
    assert [element["props"]["answered"] for element in thread["elements"] if element["props"]] == ["Quick"]
    element_id = thread["elements"][0]["id"]
    assert await layer.get_element("t-1", element_id) == thread["elements"][0]
    assert await layer.get_element("t-2", element_id) is None


async def test_an_unknown_thread_has_no_author_and_no_content(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    assert await layer.get_thread("nowhere") is None
    assert await layer.get_thread_author("nowhere") == ""


async def test_threads_come_newest_first_and_in_pages(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    user = await local(layer)
    for number in range(5):
        await talk(store, f"t-{number}", Said(text="hi"), title=f"thread {number}")
    await talk(store, "t-1", Said(text="again"))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await layer.list_threads(Pagination(first=2, cursor=cursor), ThreadFilter(userId=user.id))
        seen += [thread["name"] or "" for thread in page.data]
        if not page.pageInfo.hasNextPage:
            break
        cursor = page.pageInfo.endCursor
    assert seen == ["thread 1", "thread 4", "thread 3", "thread 2", "thread 0"]


async def test_threads_of_others_and_of_other_faces_are_not_listed(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    await talk(store, "mine", Said(text="hi"), title="mine")
    await talk(store, "theirs", Said(text="hi"), title="theirs", user="somebody")
    async with store.transaction() as session:
        await open_thread(session, face="terminal", key="t", user_name="local", language="en")
    assert await titles(layer) == ["mine"]
    assert await layer.get_thread_author("theirs") == "somebody"


async def test_search_takes_words_as_they_are(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    await talk(store, "a", Said(text="hi"), title="100% Support")
    await talk(store, "b", Said(text="hi"), title="客服问答")
    assert await titles(layer, search="support") == ["100% Support"]
    assert await titles(layer, search="0%") == ["100% Support"]
    assert await titles(layer, search="_") == []
    assert await titles(layer, search="客服") == ["客服问答"]


async def test_a_person_renames_but_chainlit_does_not(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    user = await local(layer)
    await talk(store, "t", Said(text="hi"), title="hi")
    await layer.update_thread("t", name="say", user_id=user.id)
    await layer.update_thread("t", metadata={"chat_profile": None})
    await layer.update_thread("t", name="  ")
    assert await titles(layer) == ["hi"]
    await layer.update_thread("t", name=" Support ")
    assert await titles(layer) == ["Support"]
    await layer.update_thread("nowhere", name="nothing")


async def test_a_deleted_thread_is_gone_with_its_messages(store: Store) -> None:
    layer = DataLayer(store, Stoppable())
    await talk(store, "t", Said(text="hi"), Text(markdown="Hello"), title="t")
    await talk(store, "u", Notice(text="stays"), title="u")
    await layer.delete_thread("t")
    assert await layer.get_thread("t") is None
    assert await titles(layer) == ["u"]
    async with store.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 1


async def test_who_speaks_in_a_thread_stops_when_it_is_deleted(store: Store) -> None:
    under_way = Stoppable()
    layer = DataLayer(store, under_way)
    for key in ("t", "u"):
        await talk(store, key, Said(text="hi"))
    async with store.reading() as session:
        ids = {thread.face_key: thread.id for thread in await session.scalars(select(Thread))}
    speaking = {
        key: asyncio.create_task(under_way.run(thread_id, f"message-{key}", forever()))
        for key, thread_id in ids.items()
    }
    await asyncio.sleep(0)
    await layer.delete_thread("t")
    with pytest.raises(Stopped):
        await speaking["t"]
    assert not speaking["u"].done()
    under_way.stop(ids["u"])
    await asyncio.wait([speaking["u"]])
    assert isinstance(speaking["u"].exception(), Stopped)


async def forever() -> bool:
    return await asyncio.Event().wait()
