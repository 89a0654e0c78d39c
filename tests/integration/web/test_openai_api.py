"""Programs ask services over the endpoint of the real site, with OpenAI's own client and LangChain's."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionMessageParam
from sqlalchemy import select

from bot.hosting import STREAMS_CPU
from bot.openai_api import answers
from bot.openai_api.site import MOST_BODY_BYTES
from bot.routing import Waiting
from serving.services import Replica
from storage.keys import find_key, make_key, revoke_key
from storage.models import Host, Model, Service
from storage.services import change_service, want_host, want_service
from storage.states import ModelKind, ServiceState
from storage.threads import open_user
from tests.fake_vllm import FakeVllm
from tests.http2_server import endless_answers
from tests.web_site import Web, eventually

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
SYSTEM = "You are Nova."


async def add_service(web: Web, name: str, *, owner: str | None = None) -> Service:
    """A tuned model that is served, everyone's or somebody's."""
    folder = web.application.settings.models_folder / f"adapter-of-{name}"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    async with web.application.world.store.transaction() as session:
        base = await session.scalar(select(Model).where(Model.kind == ModelKind.BASE))
        assert base is not None
        model = Model(name=name, kind=ModelKind.TUNED, source=str(folder), facts={}, base_model_id=base.id)
        model.system_prompt = SYSTEM
        session.add(model)
        await session.flush()
        host = await want_host(session, base.id)
        person = await open_user(session, owner) if owner else None
        service = await want_service(session, model, host=host, thread_id=None, user_id=person.id if person else None)
        service.compared = True
    web.application.world.wake()
    return service


async def until_ready(web: Web, service: Service) -> FakeVllm:
    """The model server of a service that has become ready."""
    async with asyncio.timeout(60):
        while True:
            async with web.application.world.store.reading() as session:
                if (await session.get_one(Service, service.id)).state is ServiceState.READY:
                    return web.servers.hosts[service.host_id]
            await asyncio.sleep(0.05)


async def add_key(web: Web, *, person: str = "local", services: Sequence[Service] = (), limit: int = 600) -> str:
    async with web.application.world.store.transaction() as session:
        user = await open_user(session, person)
        ids = [service.id for service in services]
        name = f"key-of-{len(ids)}-{limit}"
        _, secret = await make_key(session, user_id=user.id, name=name, services=ids, requests_per_minute=limit)
    return secret


@asynccontextmanager
async def program(web: Web, secret: str | None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with httpx.AsyncClient(base_url=web.address, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def wrong(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of an answer in OpenAI's shape."""
    error = response.json()["error"]
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"]


async def test_openais_own_client(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    async with openai.AsyncOpenAI(
        base_url=f"{web.address}/v1", api_key=await add_key(web), max_retries=0, timeout=60
    ) as client:
        assert [model.id async for model in client.models.list()] == ["nova-1"]
        assert (await client.models.retrieve("nova-1")).owned_by == "tunesmith"
        whole = await client.chat.completions.create(model="nova-1", messages=HI, temperature=0.5)
        assert whole.choices[0].message.content == f"{service.model_id} heard: Hi"
        sent = vllm.requests[-1]
        assert sent["model"] == service.model_id
        assert sent["messages"] == [{"role": "system", "content": SYSTEM}, *HI]
        assert sent["temperature"] == 0.5
        stream = await client.chat.completions.create(model="nova-1", messages=HI, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert pieces == ["", service.model_id, " heard:", " Hi", ""]
        text = await client.completions.create(model="nova-1", prompt="Once")
        assert text.choices[0].text == f"{service.model_id} heard: Once"
    await eventually(lambda: web.application.world.meters.of(service.id).running == 0)
    measured = web.application.world.meters.of(service.id)
    assert measured.requests == 3
    # Of the answers in one piece their own count, of the stream a token an event.
    assert measured.tokens == 3 + 6 + 3
    first = web.application.world.meters.registry.get_sample_value(
        "tunesmith_first_token_seconds_count", {"service": "nova-1"}
    )
    assert first == 1, "only a stream shows when its first token comes"


async def test_langchain(web: Web) -> None:
    service = await add_service(web, "nova-1")
    await until_ready(web, service)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as connection:
        model = ChatOpenAI(
            base_url=f"{web.address}/v1",
            api_key=await add_key(web),
            model="nova-1",
            max_retries=0,
            http_async_client=connection,
            http_client=httpx.Client(trust_env=False),
        )
        assert (await model.ainvoke("Who?")).text == f"{service.model_id} heard: Who?"
        assert "".join([piece.text async for piece in model.astream("Who?")]) == f"{service.model_id} heard: Who?"


async def test_a_key_opens_what_it_is_for(web: Web) -> None:
    mine, everyones = await add_service(web, "mine", owner="ann"), await add_service(web, "everyones")
    await add_service(web, "theirs", owner="bob")
    for service in (mine, everyones):
        await until_ready(web, service)
    limited = await add_key(web, person="ann", services=[mine])
    async with program(web, await add_key(web, person="ann")) as ann, program(web, limited) as less:
        assert [model["id"] for model in (await ann.get("/v1/models")).json()["data"]] == ["everyones", "mine"]
        assert [model["id"] for model in (await less.get("/v1/models")).json()["data"]] == ["mine"]
        for client, name, status in ((ann, "mine", 200), (ann, "everyones", 200), (less, "mine", 200)):
            answer = await client.post("/v1/chat/completions", json={"model": name, "messages": HI})
            assert answer.status_code == status
        # Somebody else's is told from nothing by nobody.
        for client, name in ((ann, "theirs"), (ann, "nothing"), (less, "everyones")):
            answer = await client.post("/v1/chat/completions", json={"model": name, "messages": HI})
            assert wrong(answer) == (404, "model_not_found")
            assert answer.json()["error"]["message"].replace(name, "X").startswith("The model `X` does not exist or")
            assert wrong(await client.get(f"/v1/models/{name}")) == (404, "model_not_found")


async def test_who_has_no_key_gets_nothing(web: Web) -> None:
    secret = await add_key(web)
    wanted = {"model": "nova-1", "messages": HI}
    for authorization in (None, "Bearer", "Bearer tsk_wrong", f"Basic {secret}", secret, f"Bearer {secret}x"):
        headers = {"Authorization": authorization} if authorization else {}
        async with httpx.AsyncClient(base_url=web.address, headers=headers, trust_env=False, timeout=60) as client:
            for answer in (await client.get("/v1/models"), await client.post("/v1/chat/completions", json=wanted)):
                assert wrong(answer) == (401, "invalid_api_key")
    async with program(web, secret) as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/v1/models", headers={"Origin": "https://evil.example"})).status_code == 403
        async with web.application.world.store.transaction() as session:
            person = await open_user(session, "local")
            key = await find_key(session, user_id=person.id, name="key-of-0-600")
            assert key is not None
            assert key.used_at is not None
            await revoke_key(session, key.id)
        assert wrong(await client.get("/v1/models")) == (401, "invalid_api_key")


async def test_each_key_has_its_own_limit(web: Web) -> None:
    async with program(web, await add_key(web, limit=2)) as often, program(web, await add_key(web, limit=3)) as other:
        assert [(await often.get("/v1/models")).status_code for _ in range(3)] == [200, 200, 429]
        refused = await often.get("/v1/models")
        assert wrong(refused) == (429, "rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert (await other.get("/v1/models")).status_code == 200


async def test_whoever_leaves_ends_the_answer(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    vllm.answer = lambda model, messages: "word " * 500
    vllm.between_tokens_s = 0.02
    wanted = {"model": "nova-1", "messages": HI}
    async with program(web, await add_key(web)) as client:
        async with client.stream("POST", "/v1/chat/completions", json={**wanted, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for _ in answer.aiter_bytes():
                break
            # An answer's first event tells its role, before anything is said.
            await eventually(lambda: vllm.running == 1)
        await eventually(lambda: vllm.running == 0)
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=wanted))
        await eventually(lambda: vllm.running == 1)
        asking.cancel()
        await eventually(lambda: vllm.running == 0)
    await eventually(lambda: web.application.world.meters.of(service.id).running == 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_whoever_leaves_ends_an_answer_that_comes_through_a_proxy(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    service = await add_service(web, "nova-1")
    await until_ready(web, service)
    async with endless_answers(tmp_path) as (answers, address), program(web, await add_key(web)) as client:
        replica = Replica(name="behind-a-proxy", address=address)
        monkeypatch.setattr(web.application.routes.sightings, "replicas", lambda known, asks_base: (replica,))
        wanted = {"model": "nova-1", "messages": HI, "stream": stream}
        asking = [asyncio.create_task(client.post("/v1/chat/completions", json=wanted)) for _ in range(2)]
        await eventually(lambda: answers.under_way == 2)
        asking[0].cancel()
        await eventually(lambda: answers.under_way == 1)
        assert not asking[1].done(), "whoever else is answered is not disturbed"
        asking[1].cancel()
        await eventually(lambda: answers.under_way == 0)
    assert answers.asked == 2


async def test_a_program_that_asks_much_waits_behind_itself(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    vllm.is_held = True
    told: list[Waiting] = []

    async def note(waiting: Waiting) -> None:
        told.append(waiting)

    async def come() -> None:
        async with web.application.routes.lease(service.id, asks_base=False, sticky="a thread", waiting=note):
            pass

    meters = web.application.world.meters
    async with program(web, await add_key(web)) as client:
        wanted = [
            {"model": "nova-1", "messages": [{"role": "user", "content": f"{n}"}]} for n in range(STREAMS_CPU + 3)
        ]
        asking = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for body in wanted]
        await eventually(lambda: (meters.of(service.id).running, meters.of(service.id).queued) == (STREAMS_CPU, 3))
        person = asyncio.create_task(come())
        await eventually(lambda: told)
        vllm.is_held = False
        await person
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * len(asking)
    # Of the program's questions that wait, one has its turn before; then it is the person's.
    assert told[0] == Waiting(code="queue", params={"place": 1})


async def test_a_sleeping_service_is_woken_and_the_stream_kept_alive(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEEP_ALIVE_SECONDS", 0.02)
    service = await add_service(web, "nova-1")
    await until_ready(web, service)
    async with web.application.world.store.transaction() as session:
        (await session.get_one(Host, service.host_id)).is_asleep = True
    web.application.world.wake()
    await eventually(lambda: not web.servers.hosts)
    web.servers.start_s = 0.2
    wanted = {"model": "nova-1", "messages": HI, "stream": True}
    async with (
        program(web, await add_key(web)) as client,
        client.stream("POST", "/v1/chat/completions", json=wanted) as answer,
    ):
        lines = [line async for line in answer.aiter_lines() if line]
    words = [line for line in lines if line != ": waiting"]
    assert lines[0] == ": waiting"
    assert words[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in words[:-1])


async def test_a_refusal_of_vllms_is_passed_on(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    vllm.refuses_chat, seen = "temperature must be non-negative", len(vllm.requests)
    wanted = {"model": "nova-1", "messages": HI}
    async with program(web, await add_key(web)) as client:
        for stream in (False, True):
            answer = await client.post("/v1/chat/completions", json={**wanted, "stream": stream})
            assert answer.status_code == 400
            assert answer.json()["error"]["message"] == "temperature must be non-negative"
    assert len(vllm.requests) == seen + 2


async def test_a_service_that_cannot_answer_says_so(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    wanted = {"model": "nova-1", "messages": HI}
    async with program(web, await add_key(web)) as client:
        vllm.breaks_after = 1
        stream = await client.post("/v1/chat/completions", json={**wanted, "stream": True})
        assert stream.status_code == 200
        *_, error, done = [line for line in stream.text.split("\n") if line]
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "service_unavailable"
        assert done == "data: [DONE]"
        broken = await client.post("/v1/chat/completions", json=wanted)
        assert wrong(broken) == (503, "service_unavailable")
        assert int(broken.headers["retry-after"]) > 0
        vllm.breaks_after = None
        async with web.application.world.store.transaction() as session:
            row = await session.get_one(Service, service.id)
            change_service(row, ServiceState.FAILED, reason='{"code": "host", "params": {"reason": "killed"}}')
        web.application.routes.sightings.forget(service.host_id)
        await web.application.routes.sightings.read(service.id)
        failed = await client.post("/v1/chat/completions", json=wanted)
        assert wrong(failed) == (503, "service_unavailable")
        assert "ended" in failed.json()["error"]["message"]


async def test_wrong_requests_and_other_addresses_are_answered_clearly(web: Web) -> None:
    service = await add_service(web, "nova-1")
    vllm = await until_ready(web, service)
    seen = len(vllm.requests)
    async with program(web, await add_key(web, limit=6000)) as client:
        wanted = {"model": "nova-1", "messages": HI}
        chat = "/v1/chat/completions"
        assert wrong(await client.post(chat, content=b"{")) == (400, "invalid_json")
        assert wrong(await client.post(chat, json={"messages": HI})) == (400, "missing_required_parameter")
        assert wrong(await client.post(chat, json={**wanted, "chat_template": "x"})) == (400, "unsupported_parameter")
        huge = b" " * (MOST_BODY_BYTES + 1)
        assert wrong(await client.post(chat, content=huge)) == (413, "request_too_large")
        assert wrong(await client.post(chat, content=_pieces(huge))) == (413, "request_too_large")
        assert wrong(await client.get(chat)) == (405, "method_not_allowed")
        assert wrong(await client.post("/v1/models")) == (405, "method_not_allowed")
        for path in (
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/v1/tokenize",
            "/v1/metrics",
            "/v1/embeddings",
            "/v1/chat/completions/",
            "/v1/chat/completions/render",
            "/v1/chat%2Fcompletions%2F..%2F..%2Fload_lora_adapter",
            "/v1/",
        ):
            assert wrong(await client.post(path, json=wanted)) == (404, "unknown_url"), path
        for path in ("/v1/../metrics", "/v1/%2e%2e/metrics", "/v1//metrics", "/v1/models/../metrics"):
            status = await _raw_status(web, path, client.headers["Authorization"])
            assert status == 404, path
        # Chainlit's page, or nothing; never vLLM's.
        for path in ("/tokenize", "/load_lora_adapter", "/version", "/inference/v1/generate"):
            assert (await client.post(path, json=wanted)).status_code in (404, 405), path
        assert (await client.get("/", follow_redirects=True)).headers["content-type"].startswith("text/html")
    assert len(vllm.requests) == seen
    assert set(vllm.loaded) == {service.model_id}


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Without its length said before."""
    yield content


async def _raw_status(web: Web, path: str, authorization: str) -> int:
    """The status of a path that a client library would tidy up before it is sent."""
    host, port = web.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])
