"""``tunesmith doctor`` says whether Slack takes the tokens and gives the app what it needs."""

import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation

from bot.slack.doctoring import diagnose_slack
from bot.slack.installations import Installations, cipher
from bot.slack.manifest import SCOPES
from bot.texts import LANGUAGES, texts
from storage.store import Store
from tests.databases import put_database
from tests.slack_emulator import SlackEmulator, Workspace
from tests.slack_talk import slack_settings

KEY = Fernet.generate_key().decode()
DISTRIBUTED = {"slack_client_id": "1.2", "slack_client_secret": "x", "encryption_keys": KEY}


async def install(workspace: Workspace, home: Path, *, ends_in_s: int | None = None) -> None:
    """Keep the app's installation in a workspace, as the install page does."""
    url = f"sqlite+aiosqlite:///{home / 'tunesmith.db'}"
    await put_database(url)
    store = Store(url)
    installation = Installation(
        team_id=workspace.team_id,
        team_name=workspace.name,
        user_id="U0",
        bot_token=workspace.bot_token,
        bot_token_expires_at=None if ends_in_s is None else int(time.time()) + ends_in_s,
    )
    await Installations(store, cipher(KEY)).async_save(installation)
    await store.close()


async def said(tmp_path: Path, slack: SlackEmulator, *, language: str = "en", **more: object) -> list[tuple[str, str]]:
    workspace = next(iter(slack.workspaces.values()), None) or slack.add_workspace("Acme")
    settings = slack_settings(slack, workspace, tmp_path, **more)
    findings = await diagnose_slack(settings, has_database=(tmp_path / "tunesmith.db").exists())
    return [(finding.state, finding.sentence(texts(language))) for finding in findings]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_all_is_well(tmp_path: Path, language: str) -> None:
    async with SlackEmulator() as slack:
        found = await said(tmp_path, slack, language=language)
    assert [state for state, _ in found] == ["ok", "ok"]
    assert "Acme" in found[0][1]


async def test_missing_scopes_are_named(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        slack.add_workspace("Acme", scopes=tuple(scope for scope in SCOPES if scope not in {"files:read", "im:write"}))
        (state, sentence), _ = await said(tmp_path, slack)
    assert state == "bad"
    assert "files:read, im:write" in sentence


async def test_tokens_that_slack_refuses(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        bot, _ = await said(tmp_path, slack, slack_bot_token="xoxb-wrong")
        _, socket = await said(tmp_path, slack, slack_app_token="xapp-wrong")
    assert bot[0] == socket[0] == "bad"
    assert "TUNESMITH_SLACK_BOT_TOKEN (invalid_auth)" in bot[1]
    assert "TUNESMITH_SLACK_APP_TOKEN (invalid_auth)" in socket[1]


async def test_half_a_set_up_and_no_slack_to_reach(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        (half,) = await said(tmp_path, slack, slack_app_token=None)
        away = await said(tmp_path, slack, slack_api_url="http://127.0.0.1:9/api/")
    assert half[0] == "bad"
    assert "TUNESMITH_SLACK_SIGNING_SECRET" in half[1]
    assert all("cannot be reached" in sentence for _, sentence in away)


async def test_the_install_page_is_told_with_its_public_address(tmp_path: Path) -> None:
    async def page(public_url: str | None = None) -> str:
        (_, sentence), _ = await said(
            tmp_path, slack, slack_client_id="1.2", slack_client_secret="x", encryption_keys=KEY, public_url=public_url
        )
        return sentence

    async with SlackEmulator() as slack:
        assert await page() == "Slack: to be installed in workspaces by the page /slack/install."
        assert "by the page https://tune.example.org/slack/install." in await page("https://tune.example.org/")


async def test_every_workspace_is_looked_at(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        gone = slack.add_workspace("Gone")
        acme = slack.add_workspace("Acme")
        few = slack.add_workspace("Few", scopes=tuple(scope for scope in SCOPES if scope != "files:read"))
        quiet = slack.add_workspace("Quiet")
        for workspace in (gone, acme, few):
            await install(workspace, tmp_path)
        await install(quiet, tmp_path, ends_in_s=-60)
        gone.uninstall()
        found = await said(tmp_path, slack, **DISTRIBUTED)
    by_name = {name: line for line in found for name in ("Gone", "Acme", "Few", "Quiet") if name in line[1]}
    assert [by_name[name][0] for name in ("Gone", "Acme", "Few", "Quiet")] == ["bad", "ok", "bad", "ok"]
    assert "(account_inactive)" in by_name["Gone"][1]
    assert "files:read" in by_name["Few"][1]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        pytest.param("k", "no Fernet key", id="no key"),
        pytest.param(Fernet.generate_key().decode(), "add that key", id="another key"),
    ],
)
async def test_keys_with_which_the_server_cannot_read(tmp_path: Path, keys: str, words: str) -> None:
    async with SlackEmulator() as slack:
        await install(slack.add_workspace("Acme"), tmp_path)
        (found,) = await said(tmp_path, slack, **{**DISTRIBUTED, "encryption_keys": keys})
    assert found[0] == "bad"
    assert words in found[1]
