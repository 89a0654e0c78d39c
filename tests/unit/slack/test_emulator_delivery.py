"""How the emulator delivers: acknowledged in time or again, in any order, over sockets or signed HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)

from tests.slack_emulator import Faults, OperationTimeout, SlackEmulator, signature
from tests.unit.slack.bolt_app import connected, new_app, web_client

WITHIN_S = 60.0


def hearing(app: AsyncApp) -> list[tuple[str, str]]:
    """Event ids and texts that the app hears."""
    heard: list[tuple[str, str]] = []

    async def hear(body: dict[str, Any], event: dict[str, Any]) -> None:
        heard.append((body["event_id"], event.get("text", "")))

    app.event("message")(hear)
    return heard


@asynccontextmanager
async def served(app: AsyncApp) -> AsyncIterator[str]:
    """The app behind HTTP; yields its address."""

    async def events(request: web.Request) -> web.Response:
        headers = {name.lower(): [value] for name, value in request.headers.items()}
        answer = await app.async_dispatch(
            AsyncBoltRequest(body=await request.text(), headers=headers)  # type: ignore[arg-type]
        )
        content_type = answer.first_headers().get("content-type", "text/plain").partition(";")[0]
        return web.Response(status=answer.status, text=answer.body, content_type=content_type)

    application = web.Application()
    application.router.add_post("/slack/events", events)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


async def test_an_event_that_is_not_acknowledged_comes_again() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        tries: list[str] = []

        @app.event("message")
        async def hear(body: dict[str, Any], event: dict[str, Any]) -> None:
            if event["text"] == "first":
                return
            tries.append(body["event_id"])
            if len(tries) == 2:
                slack.delivery.ack_deadline_s = WITHIN_S
            if len(tries) < 3:
                raise RuntimeError("not kept yet")

        async with connected(slack, app):
            # Bolt asks at its first event who it is: that is over when the clock runs.
            await ann.post(ann.dm, "first")
            await slack.settled(WITHIN_S)
            slack.delivery.ack_deadline_s = 0.5
            await ann.post(ann.dm, "hi")
            await slack.settled(WITHIN_S)
        assert len(tries) == 3
        assert len(set(tries)) == 1
        assert slack.delivery.lost == []


async def test_an_event_waits_for_somebody_who_listens() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        heard = hearing(app)
        slack.delivery.ack_deadline_s = 0.1
        await ann.post(ann.dm, "early")
        with pytest.raises(OperationTimeout):
            await ann.slash(ann.dm, "/finetune")
        slack.delivery.ack_deadline_s = WITHIN_S
        async with connected(slack, app):
            await slack.settled(WITHIN_S)
    assert [text for _, text in heard] == ["early"]


async def test_sockets_are_renewed_and_nothing_is_lost() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        heard = hearing(app)
        async with connected(slack, app, looks_every_s=2.0):
            (first,) = slack.delivery.sockets
            await slack.delivery.disconnect()
            await ann.post(ann.dm, "one")
            await slack.settled(WITHIN_S)
            assert first not in slack.delivery.sockets
            slack.delivery.drop_sockets()
            await ann.post(ann.dm, "two")
            await slack.settled(WITHIN_S)
    assert {text for _, text in heard} == {"one", "two"}


async def test_several_connections_share_the_events() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        apps = [new_app(slack, workspace) for _ in range(2)]
        heard = [hearing(app) for app in apps]
        async with connected(slack, apps[0]), connected(slack, apps[1]):
            for number in range(6):
                await ann.post(ann.dm, str(number))
            await slack.settled(WITHIN_S)
    assert [len(each) for each in heard] == [3, 3]


async def test_faults_repeat_delay_and_disorder_by_seed() -> None:
    orders = []
    for seed in (7, 7, 8):
        faults = Faults(seed=seed, duplicates=0.4, delays=(0.0, 0.3), socket_drops=0.1)
        async with SlackEmulator(faults=faults) as slack:
            # What broke with a socket may break with the next one, and the next.
            slack.delivery.retry_pauses_s = (0.1,) * 20
            workspace = slack.add_workspace("Acme")
            ann = workspace.add_user("Ann")
            app = new_app(slack, workspace)
            heard = hearing(app)
            async with connected(slack, app, looks_every_s=1.0):
                for number in range(12):
                    await ann.post(ann.dm, str(number))
                await slack.settled(WITHIN_S * 2)
            texts = [text for _, text in heard]
            assert set(texts) == {str(number) for number in range(12)}
            assert len(texts) > 12
            first_seen = list(dict.fromkeys(texts))
            assert first_seen != sorted(first_seen, key=int)
            orders.append([Faults(seed=seed, delays=(0.0, 0.3)).delay_s() for _ in range(3)])
    assert orders[0] == orders[1] != orders[2]


async def test_calls_fail_are_limited_or_lose_their_answers() -> None:
    faults = Faults(
        seed=3, fail={"chat.update": 0.4}, lost_answers={"chat.postMessage": 1.0}, rate_limited={"users.info": 0.5}
    )
    async with SlackEmulator(faults=faults) as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        client = web_client(slack, workspace.bot_token)
        client.retry_handlers = []
        with pytest.raises(Exception, match="disconnected"):
            await client.chat_postMessage(channel=ann.dm.id, text="done nevertheless")
        (message,) = workspace.channel_messages(ann.dm)
        client.retry_handlers = [
            AsyncConnectionErrorRetryHandler(max_retry_count=1),
            AsyncRateLimitErrorRetryHandler(max_retry_count=3),
            AsyncServerErrorRetryHandler(max_retry_count=5),
        ]
        for number in range(4):
            await client.chat_update(channel=ann.dm.id, ts=message.ts, text=str(number))
        await client.users_info(user=ann.id)
        assert message.words == "3"
        statuses = [call.status for call in slack.calls if call.method == "chat.update"]
        assert statuses.count(200) == 4
        assert 503 in statuses


async def test_http_deliveries_are_signed_and_repeated() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app = new_app(slack, workspace)
        retries: list[tuple[str | None, str | None]] = []

        @app.event("message")
        async def hear(request: AsyncBoltRequest) -> None:
            number = request.headers.get("x-slack-retry-num", [None])[0]
            retries.append((number, request.headers.get("x-slack-retry-reason", [None])[0]))
            if number is None:
                raise RuntimeError("not kept yet")

        @app.command("/finetune")
        async def finetune(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack(text=f"{body['text']} & more")

        async with served(app) as address:
            slack.deliver_over_http(address)
            await ann.post(ann.dm, "hi")
            await slack.settled(WITHIN_S)
            assert retries == [(None, None), ("1", "http_error")]
            assert await ann.slash(ann.dm, "/finetune", "a=1&b") == {"text": "a=1&b & more"}


async def test_a_wrong_signature_is_refused_by_the_app() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        app = new_app(slack, workspace)
        body = '{"type": "event_callback"}'
        for secret, at in (("wrong", None), (slack.signing_secret, 1_000_000.0)):
            headers = {**signature(secret, body.encode(), at=at), "Content-Type": "application/json"}
            lists = {name.lower(): [value] for name, value in headers.items()}
            answer = await app.async_dispatch(AsyncBoltRequest(body=body, headers=lists))  # type: ignore[arg-type]
            assert answer.status == 401


async def test_the_app_hears_itself_and_what_becomes_of_messages() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        client = web_client(slack, workspace.bot_token)
        app = new_app(slack, workspace)
        async with connected(slack, app):
            posted = await client.chat_postMessage(channel=ann.dm.id, text="one")
            await client.chat_update(channel=ann.dm.id, ts=posted["ts"], text="two")
            await client.chat_delete(channel=ann.dm.id, ts=posted["ts"])
            await slack.settled(WITHIN_S)
        events = [payload["event"] for kind, payload in slack.delivery.attempts if kind == "events_api"]
        assert [event.get("subtype") for event in events] == [None, "message_changed", "message_deleted"]
        assert events[0]["bot_id"] == workspace.bot_id
        assert events[1]["message"]["text"] == "two"
        assert workspace.channel_messages(ann.dm) == []


async def test_500_people_in_50_channels_at_once() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        people = [workspace.add_user(f"Person {number}") for number in range(500)]
        channels = [workspace.add_channel(f"c{at}", members=people[at * 10 : at * 10 + 10]) for at in range(50)]
        app = new_app(slack, workspace)
        heard = hearing(app)
        async with connected(slack, app):
            await asyncio.gather(*(person.post(channels[at // 10], "hi") for at, person in enumerate(people)))
            await slack.settled(2 * WITHIN_S)
        assert len({event_id for event_id, _ in heard}) == 500
        assert slack.delivery.lost == []


async def test_a_removed_app_is_told_and_its_tokens_end() -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        app = new_app(slack, workspace)
        told: list[str] = []

        async def hear(event: dict[str, Any]) -> None:
            told.append(event["type"])

        app.event("app_uninstalled")(hear)
        app.event("tokens_revoked")(hear)
        async with connected(slack, app):
            # Bolt asks once who it is, with a token that is good still.
            await app.client.auth_test()
            workspace.uninstall()
            await slack.settled(WITHIN_S)
        assert not workspace.is_installed
        with pytest.raises(SlackApiError, match="account_inactive"):
            await app.client.auth_test()
