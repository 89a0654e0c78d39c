"""Installing the app in workspaces of the emulator, with tokens that are renewed."""

import time
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.manifest import manifest
from tests.slack_emulator import Person, Refused, SlackEmulator
from tests.unit.slack.bolt_app import web_client

# The SDK's, not ours: it makes its header in a way that aiohttp is going to drop.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

REDIRECT = "http://127.0.0.1:1/slack/oauth_redirect"


def new_slack() -> SlackEmulator:
    return SlackEmulator(manifest=manifest(address="http://127.0.0.1:1", is_distributed=True))


def install_page(slack: SlackEmulator, *, scope: str = "chat:write,commands") -> str:
    asked = {"client_id": slack.client_id, "scope": scope, "state": "s1", "redirect_uri": REDIRECT}
    return f"https://slack.com/oauth/v2/authorize?{urlencode(asked)}"


def code_of(ann: Person, slack: SlackEmulator) -> str:
    return parse_qs(urlsplit(ann.allow(install_page(slack))).query)["code"][0]


async def test_a_code_becomes_a_token_once() -> None:
    async with new_slack() as slack:
        workspace = slack.add_workspace("Acme", installed=False)
        ann = workspace.add_user("Ann")
        code = code_of(ann, slack)
        client = AsyncWebClient(base_url=slack.api_url)
        secrets = {"client_id": slack.client_id, "client_secret": slack.client_secret, "redirect_uri": REDIRECT}
        with pytest.raises(SlackApiError, match="bad_client_secret"):
            await client.oauth_v2_access(**{**secrets, "client_secret": "wrong"}, code=code)
        answer = await client.oauth_v2_access(**secrets, code=code)
        assert (answer["team"]["id"], answer["scope"]) == (workspace.team_id, "chat:write,commands")
        assert answer["authed_user"]["id"] == ann.id
        assert (await web_client(slack, answer["access_token"]).auth_test())["bot_id"] == workspace.bot_id
        with pytest.raises(SlackApiError, match="code_already_used"):
            await client.oauth_v2_access(**secrets, code=code)
        with pytest.raises(Refused, match="invalid_scope"):
            ann.allow(install_page(slack, scope="admin"))


async def test_tokens_end_and_are_renewed_by_the_sdk() -> None:
    async with new_slack() as slack:
        workspace = slack.add_workspace("Acme")
        token = workspace.token
        assert token is not None
        assert token.expires_at is not None
        bot = Bot(
            bot_token=token.value,
            bot_id=workspace.bot_id,
            bot_user_id=workspace.bot_user_id,
            team_id=workspace.team_id,
            bot_refresh_token=token.refresh_token,
            bot_token_expires_at=int(token.expires_at),
            installed_at=time.time(),
        )
        token.expires_at = time.time() - 1
        with pytest.raises(SlackApiError, match="token_expired"):
            await web_client(slack, token.value).auth_test()
        rotator = AsyncTokenRotator(
            client_id=slack.client_id,
            client_secret=slack.client_secret,
            client=AsyncWebClient(base_url=slack.api_url),
        )
        renewed = await rotator.perform_bot_token_rotation(bot=bot, minutes_before_expiration=24 * 60)
        assert renewed is not None
        assert renewed.bot_token == workspace.bot_token != token.value
        assert (await web_client(slack, renewed.bot_token or "").auth_test())["ok"]
        await web_client(slack, renewed.bot_token or "").auth_revoke()
        with pytest.raises(SlackApiError, match="token_revoked"):
            await web_client(slack, renewed.bot_token or "").auth_test()


async def test_a_browser_is_asked_and_sent_back() -> None:
    async with new_slack() as slack:
        ann = slack.add_workspace("Acme", installed=False).add_user("Ann")
        url = install_page(slack).replace("https://slack.com", slack.address)
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as page:
                assert "Allow as Ann in Acme" in await page.text()
            async with session.post(url, data={"user": ann.id}, allow_redirects=False) as answer:
                assert answer.status == 302
                where = urlsplit(answer.headers["Location"])
        assert where._replace(query="").geturl() == REDIRECT
        assert parse_qs(where.query)["state"] == ["s1"]
        assert parse_qs(where.query)["code"][0] in slack.codes
