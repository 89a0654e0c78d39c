"""Services, the loops moved by hand: others on the host, another model under the same name, what is said of them."""

from pathlib import Path

import pytest

from bot.replies import Listing, Text
from bot.texts import texts
from serving.vllm_command import Build
from storage.models import Host, Model, Run, Service
from storage.states import HostState, ServiceState
from tests.living import Living, living, serve
from tests.tuned import add_tuned_model, make_cpu_environment


async def served(life: Living) -> dict[str, ServiceState]:
    """Services by name, with how they are."""
    return {service.name: service.state for service in await life.rows(Service)}


async def fill_up(life: Living, count: int) -> None:
    """So many more services on the host, of models that are rows alone."""
    store = life.house.application.world.store
    for number in range(count):
        other = await add_tuned_model(store, f"other-{number}")
        async with store.transaction() as session:
            host = (await session.get_one(Service, (await life.row(Service)).id)).host_id
            session.add(Service(name=f"other-{number}", model_id=other, host_id=host, state=ServiceState.FAILED))


async def settle(life: Living) -> None:
    for _ in range(5):
        await life.loops.once()


async def test_the_end_of_a_run_asks_before_it_disturbs_others(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        await life.begin("deploy lora_rank=64", thread="thread-2")
        await life.finish()
        first, second = await life.rows(Run)
        (host,) = await life.rows(Host)
        assert (life.servers.starts, host.settings) == (1, {})
        assert await served(life) == {first.name: ServiceState.READY}
        (asked,) = [text for text in life.shown(Text, "thread-2") if text.tone == "warning"]
        assert "takes adapters up to rank 16; this one has rank 64" in asked.markdown
        assert f"**{first.name}**" in asked.markdown
        await life.house.say(asked.choices[0].say, thread="thread-2")
        await settle(life)
        assert await served(life) == {first.name: ServiceState.READY, second.name: ServiceState.READY}
        assert (life.servers.starts, life.servers.specs[host.id].max_lora_rank) == (2, 64)


async def serve_many(life: Living, count: int) -> list[str]:
    """Serve so many tuned models that no run made; returns their ids."""
    await serve(life)
    (service,) = await life.rows(Service)
    first = next(model for model in await life.rows(Model) if model.id == service.model_id)
    async with life.house.application.world.store.transaction() as session:
        for number in range(1, count):
            same = {"kind": first.kind, "source": first.source, "facts": first.facts}
            model = Model(name=f"nova-{number}", base_model_id=first.base_model_id, **same)
            session.add(model)
            await session.flush()
            session.add(
                Service(
                    name=model.name,
                    model_id=model.id,
                    host_id=service.host_id,
                    state=ServiceState.WAITING,
                    compared=True,
                )
            )
    await settle(life)
    services = await life.rows(Service)
    assert [one.state for one in services] == [ServiceState.READY] * count
    return [one.model_id for one in services]


async def test_the_seventeenth_on_a_cpu_starts_the_server_anew_with_room_for_all(tmp_path: Path) -> None:
    python = make_cpu_environment(tmp_path / "serving")
    async with living(tmp_path, serving_python=python) as life:
        life.servers.build = Build.CPU
        models = await serve_many(life, 16)
        (host,) = await life.rows(Host)
        assert life.servers.specs[host.id].max_loras == 16
        run = await life.begin("deploy", thread="thread-2")
        await life.finish()
        assert (life.servers.starts, set(life.servers.hosts[host.id].loaded)) == (1, set(models))
        (asked,) = [text for text in life.shown(Text, "thread-2") if text.tone == "warning"]
        assert "is started for 16 tuned models, and this would be number 17" in asked.markdown
        assert [choice.say for choice in asked.choices] == [f"/deploy {run.name} restart=yes"]
        await life.house.say(asked.choices[0].say, thread="thread-2")
        await settle(life)
        assert (life.servers.starts, life.servers.specs[host.id].max_loras) == (2, 32)
        assert set(life.servers.hosts[host.id].loaded) == {*models, run.id}
        assert {service.state for service in await life.rows(Service)} == {ServiceState.READY}


def python_for_gpus(folder: Path) -> Path:
    """Of an environment that holds no vLLM for the CPU, whatever is installed beside the project."""
    return folder / "serving" / "bin" / "python"


@pytest.mark.parametrize(("choice", "starts", "max_loras"), [(0, 2, 8), (1, 1, 4)])
async def test_the_fifth_on_a_gpu_asks_and_may_leave_the_server_as_it_is(
    tmp_path: Path, choice: int, starts: int, max_loras: int
) -> None:
    async with living(tmp_path, serving_python=python_for_gpus(tmp_path)) as life:
        models = await serve_many(life, 4)
        (host,) = await life.rows(Host)
        run = await life.begin("deploy", thread="thread-2")
        await life.finish()
        (asked,) = [text for text in life.shown(Text, "thread-2") if text.tone == "warning"]
        assert "take turns in the GPU's memory" in asked.markdown
        says = [f"/deploy {run.name} restart=yes", f"/deploy {run.name} max_loras=4"]
        assert [one.say for one in asked.choices] == says
        assert all(f"`{one}`" in asked.markdown for one in says)
        await life.house.say(says[choice], thread="thread-2")
        await settle(life)
        assert (life.servers.starts, life.servers.specs[host.id].max_loras) == (starts, max_loras)
        assert set(life.servers.hosts[host.id].loaded) == {*models, run.id}


async def test_the_end_of_a_run_says_that_there_is_no_room(tmp_path: Path) -> None:
    python = make_cpu_environment(tmp_path / "serving")
    async with living(tmp_path, serving_python=python) as life:
        await life.begin("deploy")
        await life.finish()
        await fill_up(life, 63)
        await life.begin("deploy", thread="thread-2")
        await life.finish()
        (said,) = [text for text in life.shown(Text, "thread-2") if text.tone == "warning"]
        assert "holds 64 tuned models already" in said.markdown
        assert said.choices[0].say == f"/undeploy {(await life.rows(Run))[0].name}"


async def test_a_service_answers_with_its_new_model(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first = await life.begin("deploy")
        await life.finish()
        await life.house.say("Hello")
        second = await life.begin("deploy=no", thread="thread-2")
        await life.finish()
        await life.house.say(f"/deploy {second.name} service={first.name}", thread="thread-2")
        await settle(life)
        (service,) = await life.rows(Service)
        assert (service.state, service.model_id) == (ServiceState.READY, second.id)
        assert set(life.servers.hosts[service.host_id].loaded) == {second.id}
        await life.house.say("And now?")
        assert [answer.markdown for answer in life.answers()] == [
            f"{first.id} heard: Hello",
            f"{second.id} heard: And now?",
        ]
        asked = life.servers.hosts[service.host_id].requests[-1]["messages"]
        assert "Hello" in [message["content"] for message in asked]


async def test_what_a_host_waits_for_stands_on_the_card(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.servers.start_s = 3600
        await life.begin("deploy")
        life.servers.words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        await life.finish()
        assert life.card("service").note == life.servers.words
        (host,) = await life.rows(Host)
        assert (host.state, host.found["words"]) == (HostState.STARTING, life.servers.words)


async def test_the_list_says_what_was_asked(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin("deploy")
        await life.finish()
        meters, (service,) = life.house.application.world.meters, await life.rows(Service)
        before = meters.of(service.id).requests
        await life.house.say("Hello")
        await life.house.say("Hello again")
        listing = next(reply for reply in await life.house.say("/services") if isinstance(reply, Listing))
        (item,) = listing.items
        assert (item.title, item.status) == (run.name, "Ready")
        assert f"{before + 2} requests" in item.detail
        assert "tokens a second" in item.detail
        assert [choice.label for choice in item.choices] == ["Talk to it", "Keep it up", "End this service"]
        await life.house.say(f"/deploy {run.name} pinned=yes")
        assert (life.servers.starts, (await life.row(Host)).is_pinned) == (1, True)


async def test_other_threads_are_told_of_an_ended_service_in_their_own_language(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await serve(life)
        (service,) = await life.rows(Service)
        await life.house.say(f"/chat {service.name}", thread="thread-2", language="zh-CN")
        await life.house.say(f"/undeploy {service.name}")
        await life.loops.once()
        assert life.notices("thread-2")[-1] == texts("zh-CN")("undeploy.elsewhere", name=service.name)
