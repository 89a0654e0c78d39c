"""Foreign pages cannot drive the local server."""

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bot.settings import LOCAL_HOSTS
from chainlit_app.guard import Guard, cache_control

site = FastAPI()


@site.post("/act")
async def act() -> dict[str, bool]:
    return {"done": True}


@site.websocket("/socket")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


@site.post("/v1/act")
async def act_with_a_key() -> dict[str, bool]:
    return {"done": True}


@site.post("/health")
@site.post("/slack/events")
async def answer_everyone() -> dict[str, bool]:
    return {"done": True}


guarded = Guard(site, hosts=LOCAL_HOSTS, open_paths=["/health", "/slack/"], key_path="/v1/")


async def post(
    path: str = "/act", *, host: str, origin: str | None = None, client: str = "127.0.0.1", **more: str
) -> httpx.Response:
    headers = {"host": host, **more} | ({"origin": origin} if origin else {})
    transport = httpx.ASGITransport(guarded, client=(client, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as client_of_it:
        return await client_of_it.post(path, headers=headers)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("127.0.0.1:8000", None),
    ],
)
async def test_our_own_pages_come_in(host: str, origin: str | None) -> None:
    assert (await post(host=host, origin=origin)).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8000", None),  # a foreign name that was made to point here
        ("evil.example", "http://evil.example"),
        ("127.0.0.1:8000", "https://evil.example"),
        ("127.0.0.1:8000", "http://127.0.0.1:9999"),  # another server of this machine
        ("127.0.0.1:8000", "null"),  # a sandboxed frame
        ("localhost.evil.example", None),
        ("", None),
    ],
)
async def test_others_do_not(host: str, origin: str | None) -> None:
    assert (await post(host=host, origin=origin)).status_code == 403


async def test_programs_with_a_key_may_call_the_server_by_any_name_and_foreign_pages_may_not() -> None:
    assert (await post("/v1/act", host="models.acme.example", origin=None)).status_code == 200
    assert (await post("/v1/act", host="127.0.0.1:8000", origin="https://evil.example")).status_code == 403
    assert (await post("/v1/act", host="127.0.0.1:8000", origin="null")).status_code == 403
    assert (await post("/v1", host="models.acme.example", origin=None)).status_code == 403


@pytest.mark.parametrize("client", ["10.244.0.7", "192.168.1.20", "2001:db8::7", "::ffff:10.244.0.7", "nonsense"])
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "tunesmith.acme.example"])
async def test_other_machines_reach_what_knows_its_callers_alone(client: str, host: str) -> None:
    refused = await post(host=host, client=client)
    assert refused.status_code == 403
    assert "SSH" in refused.text
    assert (await post(host=host, client=client, **{"x-forwarded-for": "127.0.0.1"})).status_code == 403
    assert (await post("/healthy", host=host, client=client)).status_code == 403
    for path in ("/v1/act", "/slack/events", "/health"):
        assert (await post(path, host=host, client=client)).status_code == 200


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_known_by_each_of_its_own_addresses(client: str) -> None:
    assert (await post(host="localhost:8000", client=client)).status_code == 200


async def test_the_policy_lets_no_request_leave() -> None:
    policy = (await post(host="127.0.0.1:8000", origin=None)).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self' ws://127.0.0.1:8000" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http:" not in policy.replace("http://127.0.0.1:8000", "")


def test_sockets_are_guarded_too() -> None:
    client = TestClient(guarded, client=("127.0.0.1", 50_000))
    address = "ws://127.0.0.1:8000/socket"
    with client.websocket_connect(address, headers={"origin": "http://127.0.0.1:8000"}) as socket:
        assert socket.receive_text() == "hello"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(address, headers={"origin": "https://evil.example"}),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/assets/index-B2u6.js", "immutable"), ("/public/elements/Form.jsx", "no-cache"), ("/", "no-cache")],
)
def test_an_update_is_seen_at_once(path: str, kept: str) -> None:
    assert kept in cache_control(path)
