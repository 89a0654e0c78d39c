"""Signed HTTP, the install page, several workspaces, tokens that are renewed and revoked."""

import asyncio
import html
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.fernet import Fernet
from fastapi import FastAPI
from slack_sdk.errors import SlackTokenRotationError
from slack_sdk.oauth.installation_store import Installation

from bot.settings import LOCAL_HOSTS, Settings
from bot.slack import slack_of
from bot.slack.installations import Installations, cipher
from bot.slack.limits import Limits
from bot.slack.manifest import manifest
from bot.slack.workspaces import Workspaces
from bot.wiring import Application, assemble
from chainlit_app.guard import Guard
from storage.store import Store
from tests.conversing import add_base_model
from tests.databases import put_database
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.slack_emulator import SlackEmulator
from tests.slack_emulator.delivery import signature
from tests.slack_emulator.oauth import allow
from tests.slack_talk import SlackTalk, slack_settings

# The SDK itself hands the client's secret to aiohttp in a way that aiohttp will not take some day.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

KEY = Fernet.generate_key().decode()


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Application, str]]:
    """The application with its routes for Slack on a port of this machine; yields the address too."""
    with closing(FakeModelServer()) as servers, socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with assemble(settings, runs=FakeRuns(settings.artifacts_root), servers=servers) as application:
            await add_base_model(application.world.store, settings.models_folder / "tiny-instruct")
            async with slack_of(application) as router, application.running():
                assert router is not None
                site = FastAPI()
                site.include_router(router)
                guarded = Guard(site, hosts=LOCAL_HOSTS, open_paths=["/slack/"])
                server = uvicorn.Server(uvicorn.Config(guarded, log_level="error", lifespan="off", ws="none"))
                running = asyncio.create_task(server.serve(sockets=[listener]))
                try:
                    yield application, address
                finally:
                    server.should_exit = True
                    await running


def http_settings(slack: SlackEmulator, home: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {"slack_api_url": slack.api_url, "slack_signing_secret": slack.signing_secret}
    return Settings(home=home, **{**given, **more})


async def test_over_signed_http_as_over_a_socket(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        settings = http_settings(slack, tmp_path / "home", slack_bot_token=workspace.bot_token)
        async with serving(settings) as (application, address):
            slack.deliver_over_http(f"{address}/slack/events")
            talk = SlackTalk(slack=slack, workspace=workspace, application=application, person=ann, channel=ann.dm)
            assert "Which data set" in await talk.say("!finetune")
            assert "Which base model?" in await talk.press("The example data")
            assert "How thorough?" in await talk.press("tiny-instruct")
            assert "All settings" in await talk.say("custom")
            await ann.press(talk.channel, talk.messages()[-1].ts, "All settings")
            assert set(await ann.submit({"learning_rate": "fast"})) == {"learning_rate"}
            assert await ann.submit({"learning_rate": "1e-4"}) == {}


@pytest.mark.parametrize("how", ["unsigned", "wrong secret", "old"])
async def test_what_slack_did_not_sign_is_refused(tmp_path: Path, how: str) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        settings = http_settings(slack, tmp_path / "home", slack_bot_token=workspace.bot_token)
        async with serving(settings) as (_, address):
            body = b'{"type": "event_callback", "team_id": "T1", "event": {"type": "message"}}'
            headers = {
                "unsigned": {},
                "wrong secret": signature("guessed", body),
                "old": signature(slack.signing_secret, body, at=time.time() - 600),
            }[how]
            async with httpx.AsyncClient() as client:
                answer = await client.post(
                    f"{address}/slack/events",
                    content=body,
                    headers={**headers, "Content-Type": "application/json", "Host": "tune.example.org"},
                )
            assert answer.status_code == 401


async def install(slack: SlackEmulator, address: str, person: Any) -> None:
    """As a person does in a browser: the install page, Slack's consent, and back."""
    async with httpx.AsyncClient() as client:
        page = await client.get(f"{address}/slack/install")
        assert page.status_code == 200
        found = re.search(r'href="(https://slack\.com/oauth/v2/authorize[^"]*)"', page.text)
        assert found
        url = html.unescape(found[1])
        back = allow(person, url)
        # The cookie is for https alone, as it should be; people come through a proxy that has it.
        cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
        back = back.replace(slack.redirect_urls[0], f"{address}/slack/oauth_redirect")
        done = await client.get(back, headers=cookie)
        assert done.status_code == 200
        forged = await client.get(f"{address}/slack/oauth_redirect?code=x&state=forged", headers=cookie)
        assert forged.status_code == 400


async def test_installed_in_two_workspaces_renewed_and_removed(tmp_path: Path) -> None:
    content = manifest(address="https://tune.example.org", is_distributed=True)
    async with SlackEmulator(manifest=content) as slack:
        acme, other = (slack.add_workspace(name, installed=False) for name in ("Acme", "Other"))
        ann, bob = acme.add_user("Ann"), other.add_user("Bob", locale="zh-CN")
        settings = http_settings(
            slack,
            tmp_path / "home",
            slack_client_id=slack.client_id,
            slack_client_secret=slack.client_secret,
            encryption_keys=KEY,
        )
        async with serving(settings) as (application, address):
            slack.deliver_over_http(f"{address}/slack/events")
            for person in (ann, bob):
                await install(slack, address, person)
            talks = [
                SlackTalk(slack=slack, workspace=where, application=application, person=who, channel=who.dm)
                for where, who in ((acme, ann), (other, bob))
            ]
            assert "no runs" in (await talks[0].say("!runs")).lower()
            assert "运行" in await talks[1].say("!runs")

            # Tokens last twelve hours; shortly before their end a late job has them renewed.
            installations = Installations(application.world.store, cipher(KEY))
            bot = await installations.async_find_bot(enterprise_id=None, team_id=acme.team_id)
            assert bot is not None
            before = bot.bot_token
            bot.bot_token_expires_at = int(time.time()) + 60
            await installations.async_save_bot(bot)
            workspaces = Workspaces(settings, installations, Limits())
            found = await asyncio.gather(*(workspaces.authorize(None, acme.team_id) for _ in range(8)))
            assert len({one.bot_token for one in found if one}) == 1
            renewals = [call for call in slack.calls if call.arguments.get("grant_type") == "refresh_token"]
            assert len(renewals) == 1
            bot = await installations.async_find_bot(enterprise_id=None, team_id=acme.team_id)
            assert bot is not None
            assert bot.bot_token != before
            assert "no runs" in (await talks[0].say("!runs")).lower()

            acme.uninstall()
            await slack.settled(60)
            assert await installations.async_find_bot(enterprise_id=None, team_id=acme.team_id) is None
            assert "运行" in await talks[1].say("!runs")

            # Installed anew; what Slack could not tell at its time comes now.
            await install(slack, address, ann)
            ended = [payload for _, payload in slack.delivery.attempts if _is_end(payload)]
            assert len(ended) == 2
            for payload in ended:
                slack.delivery.event({**payload, "event_time": payload["event_time"] - 60})
            await slack.settled(60)
            assert "no runs" in (await talks[0].say("!runs")).lower()


def _is_end(payload: Any) -> bool:
    return payload.get("event", {}).get("type") in {"app_uninstalled", "tokens_revoked"}


@asynccontextmanager
async def workspaces_of(slack: SlackEmulator, home: Path, *, ends_in_s: int) -> AsyncIterator[Workspaces]:
    """Workspaces in which the app has one installation, whose token ends then."""
    acme = slack.add_workspace("Acme")
    given = {"slack_client_id": slack.client_id, "slack_client_secret": slack.client_secret, "encryption_keys": KEY}
    settings = http_settings(slack, home, **given)
    await put_database(settings.database_url)
    store = Store(settings.database_url)
    installations = Installations(store, cipher(KEY))
    await installations.async_save(
        Installation(
            team_id=acme.team_id,
            user_id="U0",
            bot_token=acme.bot_token,
            bot_refresh_token=str(acme.token and acme.token.refresh_token),
            bot_token_expires_at=int(time.time()) + ends_in_s,
        )
    )
    try:
        yield Workspaces(settings, installations, Limits())
    finally:
        await store.close()


async def test_a_token_that_cannot_be_renewed_is_good_until_its_end(tmp_path: Path) -> None:
    async with SlackEmulator() as slack, workspaces_of(slack, tmp_path, ends_in_s=600) as workspaces:
        (acme,) = slack.workspaces.values()
        slack.faults.fail = {"oauth.v2.access": 1.0}
        for _ in range(3):
            found = await workspaces.authorize(None, acme.team_id)
            assert found is not None
            assert found.bot_token == acme.bot_token
        # It is not asked for each time that something is said.
        assert sum(call.method == "oauth.v2.access" for call in slack.calls) == 1


async def test_a_token_that_has_ended_and_cannot_be_renewed_is_not_used(tmp_path: Path) -> None:
    async with SlackEmulator() as slack, workspaces_of(slack, tmp_path, ends_in_s=-1) as workspaces:
        (acme,) = slack.workspaces.values()
        slack.faults.fail = {"oauth.v2.access": 1.0}
        with pytest.raises(SlackTokenRotationError):
            await workspaces.authorize(None, acme.team_id)


async def test_tokens_of_a_workspace_are_in_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        settings = slack_settings(slack, workspace, tmp_path / "home")
        async with serving(settings) as (application, _):
            talk = SlackTalk(slack=slack, workspace=workspace, application=application, person=ann, channel=ann.dm)
            slack.faults.fail = {"chat.postMessage": 0.5}
            await talk.say("a secret of Ann's")
    printed = "".join(capsys.readouterr())
    assert workspace.bot_token not in printed
    assert slack.app_token not in printed
    assert "a secret of Ann's" not in printed
