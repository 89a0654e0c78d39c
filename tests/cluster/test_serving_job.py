"""From a file to the tuned model's answers, on three faces: trained and served by the real vLLM on a real cluster."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from sqlalchemy import select

from bot.replies import Answer
from bot.settings import Settings
from bot.slack import slack_of
from bot.terminal.face import TerminalFace
from bot.wiring import Application, assemble
from chainlit_app.server import address_of, listen, run, site_of
from serving.chat import ChatRequest, answer
from serving.connecting import connecting
from serving.kubernetes import KubernetesVllm
from serving.manifest import HOST_LABEL
from serving.services import Address, HostStatus, Replica
from storage.keys import make_key
from storage.models import Host, Model, Run, Service, now
from storage.states import ModelKind, RunState, ServiceState
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import NAMESPACE
from tests.cluster.house import PLAN
from tests.cluster.outside import ask, run_outside
from tests.cluster.serving_stage import SECRET, pods_of, vllm_place
from tests.cluster.stage import ROWS, make_owned
from tests.contracts.model_servers import measured, running_requests
from tests.conversing import write_rows
from tests.harness import Harness
from tests.integration.slack.test_keys import SECRET as SECRET_KEY
from tests.integration.test_terminal_session import Terminal
from tests.recording import RecordingFace
from tests.slack_emulator import SlackEmulator
from tests.slack_talk import SlackTalk, slack_settings
from tests.tiny_model import make_tiny_model
from tests.web_chainlit import forget_data_layer
from tests.web_page import Page, open_page
from training.checkpoints import inspect_checkpoint
from training.kubernetes import KubernetesRuns
from training.places import Cards, ClusterPlace

INSTANCE = "job"
SIZE = "cpu=1 memory_gib=3"
"""A node of the test cluster has two cores, and runs trainings beside."""
PATIENCE_S = 300
QUESTION = ROWS[3][0]
ALL_KINDS = "deployments,pods,services,secrets,configmaps,networkpolicies"


@dataclass(kw_only=True)
class Product:
    """All of it in this process, but for what runs in the cluster."""

    application: Application
    servers: KubernetesVllm
    slack: SlackTalk
    address: str
    folder: Path

    async def newest_run(self) -> Run:
        async with self.application.world.store.reading() as session:
            row = await session.scalar(select(Run).order_by(Run.created_at.desc()).limit(1))
            assert row is not None
            return row

    async def service(self, name: str) -> Service:
        async with self.application.world.store.reading() as session:
            found = await session.scalar(select(Service).where(Service.name == name))
            assert found is not None
            return found

    async def model(self, name: str) -> Model:
        async with self.application.world.store.reading() as session:
            found = await session.scalar(select(Model).where(Model.name == name))
            assert found is not None
            return found

    async def train(self, name: str, options: str) -> Model:
        """A run from a file and one line, to its model."""
        rows: list[dict[str, object]] = [
            {"instruction": question, "input": "", "output": said.replace("Nova", name.title())}
            for question, said in ROWS
        ]
        file = write_rows(self.folder / f"{name}.jsonl", rows)
        await self.slack.say(f"!finetune base_model=tiny preset=custom {PLAN} {options} deploys=no start", files=[file])
        await until(self._is_over, f"{name} trains")
        run = await self.newest_run()
        assert run.state is RunState.SUCCEEDED, (run.reason, run.detail)
        return await self.model(run.name)

    async def _is_over(self) -> bool:
        return (await self.newest_run()).state.is_final

    async def ready(self, name: str) -> Service:
        """Wait until a service is ready."""

        async def is_ready() -> bool:
            service = await self.service(name)
            assert service.state is not ServiceState.FAILED, service.reason
            return service.state is ServiceState.READY

        await until(is_ready, f"{name} is ready")
        return await self.service(name)

    def status(self, host: str) -> HostStatus:
        return self.servers.observe()[host]

    def replica(self, host: str) -> Replica:
        return self.status(host).replicas[0]

    async def directly(self, model: Model, question: str, host: str) -> str:
        """What vLLM answers when it is asked without us."""
        system = [SystemMessage(model.system_prompt)] if model.system_prompt else []
        messages: Sequence[BaseMessage] = [*system, HumanMessage(question)]
        sampling = {"temperature": 0.0, "max_tokens": 64}
        address = self.replica(host).address
        request = ChatRequest(address=address, model=model.id, messages=tuple(messages), sampling=sampling)
        return (await answer(request)).strip()


async def until(holds: Callable[[], Awaitable[object]], what: str, *, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"in vain: {what}"
        await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def place(account: Path, volume: Path) -> ClusterPlace:
    make_owned(volume / INSTANCE)
    return vllm_place(account, NAMESPACE, INSTANCE, cards=Cards(per_node=0))


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for row in ROWS for text in row]
    folder: Path = tmp_path_factory.mktemp("talker") / "model"
    # 128 wide in 4 heads: on a CPU vLLM computes with heads of 32 and more.
    return make_tiny_model(folder, texts=texts, hidden=128, ends=True)


@asynccontextmanager
async def product(
    home: Path, place: ClusterPlace, root: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Product]:
    forget_data_layer(monkeypatch)
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(SlackEmulator())
        workspace = slack.add_workspace("Acme")
        person = workspace.add_user("Ann")
        settings: Settings = slack_settings(
            slack,
            workspace,
            home,
            open_endpoint=True,
            port=0,
            runs="kubernetes",
            serving="kubernetes",
            artifacts_root=root,
        )
        runs = stack.enter_context(closing(KubernetesRuns(place, root)))
        servers = stack.enter_context(closing(KubernetesVllm(place, root, secret=SECRET)))
        application = await stack.enter_async_context(assemble(settings, runs=runs, servers=servers, places=[place]))
        async with application.world.store.transaction() as session:
            facts = inspect_checkpoint(base).to_json()
            session.add(Model(name="tiny", kind=ModelKind.BASE, source=str(base), facts=facts))
        listener = stack.enter_context(listen(settings))
        routes = await stack.enter_async_context(slack_of(application))
        site = await stack.enter_async_context(site_of(application, routes))
        is_up = asyncio.Event()
        serving = asyncio.create_task(run(site, listener, is_up.set))
        await is_up.wait()
        talk = SlackTalk(slack=slack, workspace=workspace, application=application, person=person, channel=person.dm)
        try:
            yield Product(
                application=application, servers=servers, slack=talk, address=address_of(listener), folder=home
            )
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def test_from_a_file_to_answers_on_three_faces_and_back_to_nothing(
    cluster: Cluster,
    place: ClusterPlace,
    volume: Path,
    talker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with product(tmp_path, place, volume / INSTANCE, talker, monkeypatch) as house:
        first = await house.train("nova", "nodes=2")
        await house.slack.say(f"!deploy {first.name} {SIZE}")
        host = (await house.ready(first.name)).host_id
        expected = await house.directly(first, QUESTION, host)
        assert expected
        await answers_on_all_faces(house, first.name, expected)
        await many_at_once(house, first.name, expected)
        await programs_in_pods_need_a_key(house, cluster, first.name)
        await streams_that_are_left_end(house, first, host)
        await a_lost_pod_comes_back(house, cluster, first, host, expected)
        second = await house.train("mira", "nodes=1 epochs=10")
        await house.slack.say(f"!deploy {second.name}")
        await house.ready(second.name)
        assert house.status(host).adapters == {first.id, second.id}
        await a_retrained_model_answers_under_the_old_name(house, first, second, host)
        await it_sleeps_and_wakes(house, cluster, first.name, second, host)
        await nothing_is_left(house, cluster, [first.name], host)


async def answers_on_all_faces(house: Product, name: str, expected: str) -> None:
    await house.slack.say("!params temperature=0 max_tokens=64")
    assert expected in await house.slack.say(QUESTION)
    await asks_anew(house, name, expected)
    terminal = Terminal(application=house.application)
    assert isinstance(house.application.faces["terminal"], TerminalFace)
    assert await terminal.hold(f"/chat {name}", "/params temperature=0 max_tokens=64", QUESTION) == 0, terminal.text
    assert expected in terminal.text


async def asks_anew(house: Product, name: str, expected: str) -> None:
    """In a thread of the web chat where nothing was said before; a host that sleeps wakes."""
    async with open_page(house.address) as page:
        for line in (f"/chat {name}", "/params temperature=0 max_tokens=64"):
            await say_web(page, line)
        await say_web(page, QUESTION, expected, seconds=PATIENCE_S)


async def say_web(page: Page, text: str, expected: str = "", *, seconds: float = 60) -> None:
    """Say something and wait for what is said to it: with the expected words in it, if there are any."""
    known = set(page.messages)
    own = await page.say(text)

    def news() -> list[str]:
        return [message["output"] for key, message in page.messages.items() if key not in known and key != own]

    def is_answered() -> bool:
        # A notice or a card has no text of its own.
        return not page.is_loading and any(expected in output for output in news())

    try:
        await page.until(is_answered, seconds=seconds)
    except TimeoutError:
        raise AssertionError(f"after {text!r} expected {expected!r} in {news()}") from None


async def many_at_once(house: Product, name: str, whole: str) -> None:
    """Eight threads at once with the same question: each gets its own answer, told by how far it may go, as none may go
    as far as another. A model as small as this repeats no secret word, so nothing is seen here of what was said before,
    and nobody waits, as a replica takes eight: for both see the eight threads of ``tests/acceptance``."""
    face = RecordingFace()
    house.application.faces["test"] = face
    threads = Harness(application=house.application, face=face)
    for number in range(1, 9):
        for line in (f"/chat {name}", f"/params temperature=0 max_tokens={number}"):
            await threads.say(line, thread=f"thread-{number}")
    await asyncio.gather(*(threads.say(QUESTION, thread=f"thread-{number}") for number in range(1, 9)))
    answers = {thread: reply.markdown for thread, _, reply in face.showings if isinstance(reply, Answer)}
    said = [answers[f"thread-{number}"] for number in range(1, 9)]
    assert len(set(said)) == 8
    assert said == sorted(said, key=len)
    assert all(whole.startswith(part) for part in said)


async def programs_in_pods_need_a_key(house: Product, cluster: Cluster, name: str) -> None:
    """From a pod: a key opens its owner's services until it is revoked, and nothing opens the web chat."""
    address = f"http://{cluster.plan.host}:{urlsplit(house.address).port}"
    bob = house.slack.workspace.add_user("Bob")
    keys = [await new_key(house.slack), await new_key(replace(house.slack, person=bob, channel=bob.dm, root=None))]
    question = {"model": name, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 4}
    chat = f"{address}/v1/chat/completions"
    asks = [
        ask(f"{address}/health"),
        ask(f"{address}/"),
        ask(f"{address}/project/settings", key=keys[0]),
        ask(chat, body=question),
        *(ask(chat, key=key, body=question) for key in keys),
        ask(f"{address}/v1/load_lora_adapter", key=keys[0], body={}),
    ]
    assert await asyncio.to_thread(run_outside, cluster, NAMESPACE, asks) == [200, 403, 403, 401, 200, 404, 404]
    assert "revoked" in await house.slack.say("!key revoke pod")
    asks = [ask(chat, key=key, body=question) for key in keys]
    assert await asyncio.to_thread(run_outside, cluster, NAMESPACE, asks) == [401, 404]


async def new_key(talk: SlackTalk) -> str:
    async def shown() -> list[str]:
        return SECRET_KEY.findall(talk.words())

    await talk.say("!key new pod")
    # A busy Slack may make it wait.
    await until(shown, "the key is shown", seconds=60)
    return (await shown())[0]


async def streams_that_are_left_end(house: Product, model: Model, host: str) -> None:
    """Whoever leaves, through the API server's proxy too, leaves nothing computing; nor does a program that leaves us,
    who ask through that proxy for it."""
    address = house.replica(host).address
    key = {"Authorization": f"Bearer {address.api_key}", **address.headers}
    directly = httpx.AsyncClient(**connecting(address), headers=key, timeout=60)
    await a_stream_that_is_left_ends(directly, address.base_url, model.id, address)
    own = {"Authorization": f"Bearer {await own_key(house, model.name)}"}
    program = httpx.AsyncClient(trust_env=False, headers=own, timeout=60)
    await a_stream_that_is_left_ends(program, house.address, model.name, address)


async def own_key(house: Product, name: str) -> str:
    """A key of the owner of a service."""
    owner = (await house.service(name)).user_id
    assert owner is not None
    async with house.application.world.store.transaction() as session:
        _, secret = await make_key(session, user_id=owner, name="leaving", services=(), requests_per_minute=60)
    return secret


async def a_stream_that_is_left_ends(client: httpx.AsyncClient, url: str, model: str, vllm: Address) -> None:
    """``vllm``: where the model is computed, whoever is asked."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "max_tokens": 400,
        "ignore_eos": True,
        "n": 16,
    }

    async def said_to_the_end() -> float:
        label = 'finished_reason="length"'
        return await asyncio.to_thread(measured, vllm, "vllm:request_success_total", label)

    async def is_running() -> bool:
        return await asyncio.to_thread(running_requests, vllm) > 0

    async def is_idle() -> bool:
        return not await is_running()

    before = await said_to_the_end()
    # With its connection: over HTTP/2 the client's library forgets a stream that is left, and tells nobody.
    async with client, client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        first = await anext(response.aiter_lines())
        assert response.status_code == 200, first
        await until(is_running, "vLLM counts it", seconds=60)
    await until(is_idle, "vLLM stops", seconds=60)
    # All of them end at the same token; a comparison, which may be under way, asks much less.
    assert await said_to_the_end() < before + 16, "it stopped because it was told to"


async def a_lost_pod_comes_back(house: Product, cluster: Cluster, model: Model, host: str, expected: str) -> None:
    (pod,) = await asyncio.to_thread(pods_of, cluster, NAMESPACE, host)
    await asyncio.to_thread(cluster.kubectl, "delete", pod, "-n", NAMESPACE, "--wait=false")

    async def is_another() -> bool:
        replicas = house.status(host).replicas
        return bool(replicas) and f"pod/{replicas[0].name}" != pod and model.id in replicas[0].adapters

    await until(is_another, "another pod has the adapter")
    await house.ready(model.name)
    assert await house.directly(model, QUESTION, host) == expected


async def a_retrained_model_answers_under_the_old_name(house: Product, first: Model, second: Model, host: str) -> None:
    expected = await house.directly(second, QUESTION, host)
    assert expected != await house.directly(first, QUESTION, host)
    await house.slack.say(f"!undeploy {second.name}")
    await house.slack.say(f"!deploy {second.name} service={first.name}")

    async def is_replaced() -> bool:
        return house.status(host).adapters == {second.id}

    await until(is_replaced, "the old adapter is unloaded")
    await house.ready(first.name)
    await asks_anew(house, first.name, expected)


async def it_sleeps_and_wakes(house: Product, cluster: Cluster, name: str, model: Model, host: str) -> None:
    expected = await house.directly(model, QUESTION, host)

    async def is_compared() -> bool:
        return (await house.service(name)).compared

    # A comparison asks, too, and each use is noted.
    await until(is_compared, "the comparison is over")
    async with house.application.world.store.transaction() as session:
        row = await session.get_one(Host, host)
        row.used_at = now() - timedelta(days=1)

    async def is_asleep() -> bool:
        left = await asyncio.to_thread(pods_of, cluster, NAMESPACE, host)
        return not left and (await house.service(name)).state is ServiceState.ASLEEP

    await until(is_asleep, "the host rests")
    await asks_anew(house, name, expected)


async def nothing_is_left(house: Product, cluster: Cluster, names: Sequence[str], host: str) -> None:
    for name in names:
        await house.slack.say(f"!undeploy {name}")

    async def is_gone() -> bool:
        listed = await asyncio.to_thread(
            cluster.kubectl, "get", ALL_KINDS, "-n", NAMESPACE, "-l", f"{HOST_LABEL}={host}", "-o", "name"
        )
        return not listed.split()

    await until(is_gone, "nothing is left in the cluster")
    assert host not in house.servers.observe()
