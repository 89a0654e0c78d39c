"""Fifty threads at once: each gets its own answer, in a fair order, and none is lost."""

import asyncio
from itertools import chain
from pathlib import Path

from storage.models import Host, Service
from storage.threads import open_thread
from tests.fake_vllm import FakeVllm
from tests.living import Living, living, serve, until
from tests.recording import places_told

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
    said = [last_word("", request["messages"]) for request in replica.requests]
    return [word for word in said if word.startswith("secret-")]


def last_word(_: str, messages: list[dict[str, str]]) -> str:
    """An answer of one token."""
    return messages[-1]["content"].split()[-1]


async def test_fifty_threads_are_answered_each_with_its_own_word(tmp_path: Path) -> None:
    async with living(tmp_path, streams_per_replica=PLACES) as life:
        await serve(life, instances=2)
        keys = await open_threads(life)
        replicas = life.servers.replicas[(await life.row(Host)).id]
        for replica in replicas.values():
            replica.is_held, replica.answer = True, last_word

        def there() -> int:
            """Threads that are being answered, or have been told their place."""
            told = [key for key in keys if any(answer.note for answer in life.answers(key))]
            return len(told) + sum(replica.running for replica in replicas.values())

        talking = []
        for number, key in enumerate(keys, 1):
            talking.append(asyncio.create_task(life.house.say(f"My word is secret-{number}", thread=key)))
            await until(lambda number=number: there() == number)  # type: ignore[misc]
        queues = life.house.application.routes._queues

        def have_moved_on(answered: int) -> bool:
            """So many are answered, and all who have a place instead of them are being answered."""
            holding = sum(queue.holding for queue in queues.values())
            running = sum(replica.running for replica in replicas.values())
            return (
                answered + holding + sum(queue.waiting for queue in queues.values()) == THREADS and running == holding
            )

        for answered in range(1, THREADS + 1):
            next(replica for replica in replicas.values() if replica.running).let_go = 1
            await until(lambda answered=answered: have_moved_on(answered))  # type: ignore[misc]
        await asyncio.gather(*talking)

        for number, key in enumerate(keys, 1):
            [answer] = life.answers(key)
            assert (answer.state, answer.note) == ("complete", "")
            assert answer.markdown == f"secret-{number}"
        asked = [words_of(replica) for replica in replicas.values()]
        assert sorted(chain.from_iterable(asked)) == sorted(f"secret-{number}" for number in range(1, THREADS + 1))
        for words, replica in zip(asked, replicas.values(), strict=True):
            numbers = [int(word.removeprefix("secret-")) for word in words]
            assert numbers == sorted(numbers)
            assert replica.most_running <= PLACES
            assert len(numbers) > PLACES
        assert all(
            places == sorted(places, reverse=True) for places in (places_told(life.house.face, key) for key in keys)
        )
