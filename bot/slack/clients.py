"""Slack's own client, made in one place."""

from logging import getLogger

from slack_sdk.web.async_client import AsyncWebClient

from bot.settings import Settings

TIMEOUT_SECONDS = 30


def web_client(settings: Settings, token: str | None = None, *, timeout_s: int = TIMEOUT_SECONDS) -> AsyncWebClient:
    """A client of Slack's Web API."""
    base_url = settings.slack_api_url or AsyncWebClient.BASE_URL
    return AsyncWebClient(token=token, base_url=base_url, timeout=timeout_s, logger=getLogger("slack_sdk"))
