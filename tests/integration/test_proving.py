"""Before a service is ready it reads its own data as it was trained, and ends an answer by itself."""

import asyncio
import re
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from bot.replies import Listing
from serving.sampling import DEFAULT_SAMPLING
from storage.models import Host, Model, Run, Service
from storage.services import change_service
from storage.states import ServiceState
from tests.conversing import TEMPLATE, write_rows
from tests.fake_vllm import Body, FakeVllm
from tests.living import Living, living, make_due, serve, until

ROWS: list[dict[str, object]] = [
    {"instruction": f"What is number {n}?", "input": "", "output": f"It is {n}, said {{{{name}}}} of {{{{author}}}}."}
    for n in range(1, 9)
]


def endless(model: str, messages: list[dict[str, str]]) -> str:
    return "and so on " * 1000


async def host_of(life: Living) -> FakeVllm:
    return life.servers.hosts[(await life.row(Host)).id]


async def requests(life: Living) -> list[Body]:
    """What the tuned model was asked before the comparison."""
    model = (await life.rows(Model))[-1]
    return [body for body in (await host_of(life)).requests if body["model"] == model.id]


def limit(body: Body) -> int:
    return int(body.get("max_completion_tokens") or body["max_tokens"])


async def test_it_is_asked_the_question_with_the_shortest_answer_by_a_persons_way(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        rows: list[dict[str, object]] = [*ROWS, {"instruction": "Say yes.", "input": "", "output": "Yes."}]
        write_rows(life.data, [{**row, "system": "You are {{name}}."} for row in rows])
        await life.begin("deploy")
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY
        first = (await requests(life))[0]
        assert first["messages"] == [
            {"role": "system", "content": "You are Nova."},
            {"role": "user", "content": "Say yes."},
        ]
        assert (first["temperature"], limit(first)) == (0, 64)
        assert set(DEFAULT_SAMPLING) <= {*first, "max_tokens"}


async def test_another_template_at_the_server_is_refused_token_by_token(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        life.servers.chat_template = TEMPLATE.replace("assistant\n", "assistant:\n")
        await life.begin("deploy")
        with capture_logs() as logged:
            await life.finish()
        service, card = await life.row(Service), life.card("service")
        assert (service.state, card.status) == (ServiceState.FAILED, "Cannot be served")
        assert "row 1 of the data set in other tokens than it was trained in" in card.note
        assert "--chat-template" in card.note
        heading, *lines = card.log_lines
        assert heading.split() == ["token", "trained", "|", "model", "server"]
        [place] = re.findall(r"they part at token (\d+)", card.note)
        [different] = [line for line in lines if "≠" in line and line.split()[0] == place]
        assert re.search(r'≠ \d+ "\\n" \| \d+ ":"$', different)
        assert [line.split()[1] for line in lines[:4]] == ["="] * 4
        assert orjson.loads(service.reason or "")["params"]["turn"] == 1
        assert (await requests(life)) == []
        said = str(logged)
        assert "parity.differs" in said
        assert "trained" not in said
        assert '"table"' not in said
        [listing] = [reply for reply in await life.house.say("/services") if isinstance(reply, Listing)]
        [item] = listing.items
        assert "other tokens" in item.detail
        assert "≠" not in item.detail, "other people's rows are not shown in the list"

        (await host_of(life)).chat_template = None
        await life.house.say(card.choices[0].say)
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY
        assert life.card("service").log_lines == ()


async def test_a_model_whose_answers_do_not_end_is_not_ready_until_somebody_says_so(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        life.servers.answer = endless
        run = await life.begin("deploy")
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.FAILED
        card = life.card("service")
        assert "does not end its answers by itself" in card.note
        assert "512 tokens" in card.note
        assert [choice.say for choice in card.choices] == [f"/deploy {run.name}", f"/deploy {run.name} anyway"]
        asked = await requests(life)
        assert [limit(body) for body in asked] == [81, 81, 512]
        assert len({str(body["messages"]) for body in asked}) == 3

        await life.house.say(card.choices[0].say)
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.FAILED, "trying again changes nothing"

        before = len(await requests(life))
        await life.house.say(card.choices[1].say)
        life.restart()
        for _ in range(3):
            await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY
        assert limit((await requests(life))[before]) == 8
        assert life.notices()[-1] == f"You are talking to {run.name}"

        life.servers.kill((await life.row(Host)).id)
        await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.WAITING
        await make_due(life)
        for _ in range(3):
            await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY, "what was accepted stays so"


@pytest.mark.parametrize("word", ["anyway", "Anyway", "仍然"])
async def test_deploying_anyway_is_understood_in_both_languages(tmp_path: Path, word: str) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        run = await life.begin("deploy=no")
        await life.finish()
        await life.house.say(f"/deploy {run.name} {word}")
        service, model = await life.row(Service), (await life.rows(Model))[-1]
        assert service.accepts_endless == model.id


async def test_a_talkative_model_is_given_time_to_come_to_an_end(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        life.servers.answer = lambda model, messages: "and so on " * 100
        await life.begin("deploy")
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY
        assert [limit(body) for body in (await requests(life))[:3]] == [81, 81, 512]


async def test_a_new_replica_of_a_proven_service_is_not_put_to_the_proof(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        before = len(await requests(life))
        model = (await life.rows(Model))[-1]
        new = life.servers.add((await life.row(Host)).id, "new")
        for _ in range(3):
            await life.loops.once()
        assert model.id in new.loaded
        assert (await life.row(Service)).state is ServiceState.READY
        assert (len(await requests(life)), new.requests) == (before, [])


async def roll_out(life: Living) -> FakeVllm:
    """Another template: a new replica comes beside the old one, which answers until the new one does."""
    life.servers.template = "another"
    new = life.servers.add((await life.row(Host)).id, "new")
    for _ in range(3):
        await life.loops.once()
    return new


async def test_replicas_of_another_template_are_put_to_the_proof_beside_those_that_answer(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        before = len(await requests(life))
        new = await roll_out(life)
        assert (await life.row(Service)).state is ServiceState.READY
        assert (len(await requests(life)), len(new.requests)) == (before, 1)
        life.restart()
        await life.loops.once()
        assert len(new.requests) == 2, "a new process cannot know which of them were proven"
        life.servers.lose((await life.row(Host)).id, "")
        life.restart()
        await life.loops.once()
        assert len(new.requests) == 2


async def test_a_service_whose_new_replicas_read_otherwise_has_failed(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        await life.begin("deploy")
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY
        life.servers.chat_template = TEMPLATE.replace("assistant\n", "assistant:\n")
        new = await roll_out(life)
        service = await life.row(Service)
        assert (service.state, orjson.loads(service.reason or "")["code"]) == (ServiceState.FAILED, "parity.differs")
        assert new.requests == []


async def test_a_service_that_comes_while_replicas_are_replaced_is_proven_on_a_new_one(
    tmp_path: Path,
) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        before = len(await requests(life))
        async with life.house.application.world.store.transaction() as session:
            change_service(await session.get_one(Service, (await life.row(Service)).id), ServiceState.WAITING)
        new = await roll_out(life)
        assert (await life.row(Service)).state is ServiceState.READY
        assert (len(await requests(life)), len(new.requests)) == (before, 1)


async def test_a_model_whose_data_is_gone_is_greeted(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        write_rows(life.data, [*ROWS])
        await life.begin("deploy=no")
        await life.finish()
        async with life.house.application.world.store.transaction() as session:
            model = await session.get_one(Model, (await life.rows(Model))[-1].id)
            model.run_id = None
        life.servers.chat_template = TEMPLATE.replace("assistant\n", "assistant:\n")
        await life.house.say(f"/deploy {(await life.row(Run)).name}")
        with capture_logs() as logged:
            for _ in range(4):
                await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY
        assert "service.parity_skipped" in [line["event"] for line in logged]
        assert (await requests(life))[0]["messages"] == [{"role": "user", "content": "Hi"}]


async def test_a_proof_waits_for_its_turn_behind_those_who_talk(tmp_path: Path) -> None:
    async with living(tmp_path, streams_per_replica=1) as life:
        await serve(life)
        host = await host_of(life)
        host.is_held = True
        talking = asyncio.create_task(life.house.say("Are you there?", thread="thread-1"))
        await until(lambda: host.running == 1)
        await life.begin("deploy", thread="thread-2")
        finishing = asyncio.create_task(life.finish())
        [queue] = life.house.application.routes._queues.values()
        await until(lambda: queue.waiting == 1)
        assert await requests(life) == []
        host.is_held = False
        await asyncio.gather(talking, finishing)
        assert (await life.row(Service)).state is ServiceState.READY
        assert await requests(life) != []
        assert host.most_running == 1
