"""Fifty threads at once: each gets its own answer, in a fair order, and none is lost."""

import asyncio
import re
from itertools import chain
from pathlib import Path

from bot.replies import Answer
from storage.models import Host, Service
from storage.threads import open_thread
from tests.fake_vllm import FakeVllm
from tests.living import Living, living, serve, until

THREADS = 50
PLACES = 3


async def open_threads(life: Living) -> list[str]:
    """Threads that talk to the service."""
    service = await life.row(Service)
    keys = [f"many-{number}" for number in range(THREADS)]
    async with life.house.application.world.store.transaction() as session:
        for key in keys:
            thread, _ = await open_thread(session, face="test", key=key, user_name="local", language="en")
            thread.service_id, thread.speaker = service.id, "tuned"
    return keys


def words_of(replica: FakeVllm) -> list[str]:
    """The secret words in the order in which a replica was asked."""
    said = [request["messages"][-1]["content"] for request in replica.requests]
    return [text.removeprefix("My word is ") for text in said if text.startswith("My word is ")]


async def test_fifty_threads_are_answered_each_with_its_own_word(tmp_path: Path) -> None:
    async with living(tmp_path, streams_per_replica=PLACES) as life:
        await serve(life, instances=2)
        keys = await open_threads(life)
        replicas = life.servers.replicas[(await life.row(Host)).id]
        for replica in replicas.values():
            replica.is_held = True

        def there() -> int:
            """Threads that are being answered, or have been told their place."""
            told = [key for key in keys if any(answer.note for answer in life.answers(key))]
            return len(told) + sum(replica.running for replica in replicas.values())

        talking = []
        for number, key in enumerate(keys, 1):
            talking.append(asyncio.create_task(life.house.say(f"My word is secret-{number}", thread=key)))
            await until(lambda number=number: there() == number)  # type: ignore[misc]
        for replica in replicas.values():
            replica.is_held = False
        await asyncio.gather(*talking)

        for number, key in enumerate(keys, 1):
            [answer] = life.answers(key)
            assert (answer.state, answer.note) == ("complete", "")
            assert answer.markdown.endswith(f"heard: My word is secret-{number}")
        asked = [words_of(replica) for replica in replicas.values()]
        assert sorted(chain.from_iterable(asked)) == sorted(f"secret-{number}" for number in range(1, THREADS + 1))
        for words, replica in zip(asked, replicas.values(), strict=True):
            numbers = [int(word.removeprefix("secret-")) for word in words]
            # Those that hold a place at the same time reach the replica in any order.
            assert is_nearly_sorted(numbers)
            assert replica.most_running <= PLACES
            assert len(numbers) > PLACES
        assert all(places == sorted(places, reverse=True) for places in (places_told(life, key) for key in keys))


def is_nearly_sorted(numbers: list[int]) -> bool:
    """Whether nobody is more than PLACES away from their turn."""
    turns = {number: turn for turn, number in enumerate(sorted(numbers))}
    return all(abs(turns[number] - turn) <= PLACES for turn, number in enumerate(numbers))


def places_told(life: Living, key: str) -> list[int]:
    """How many stood before a thread, each time it was told."""
    notes = [
        reply.note
        for thread, _, reply in life.house.face.showings
        if thread == key and isinstance(reply, Answer) and "busy" in reply.note
    ]
    return [int(found[0]) if (found := re.findall(r"\d+", note)) else 0 for note in notes]
