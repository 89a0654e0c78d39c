"""``tunesmith doctor`` says whether Slack takes the tokens and gives the app what it needs."""

from pathlib import Path

import pytest

from bot.slack.doctoring import diagnose_slack
from bot.slack.manifest import SCOPES
from bot.texts import LANGUAGES, texts
from tests.slack_emulator import SlackEmulator
from tests.slack_talk import slack_settings


async def said(tmp_path: Path, slack: SlackEmulator, *, language: str = "en", **more: object) -> list[tuple[str, str]]:
    workspace = next(iter(slack.workspaces.values()), None) or slack.add_workspace("Acme")
    findings = await diagnose_slack(slack_settings(slack, workspace, tmp_path, **more))
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
            tmp_path, slack, slack_client_id="1.2", slack_client_secret="x", encryption_keys="k", public_url=public_url
        )
        return sentence

    async with SlackEmulator() as slack:
        assert await page() == "Slack: to be installed in workspaces by the page /slack/install."
        assert "by the page https://tune.example.org/slack/install." in await page("https://tune.example.org/")
