"""The Slack face: Slack's events become turns, replies become blocks; nothing is decided here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from bot.wiring import Application


@asynccontextmanager
async def slack_of(application: Application) -> AsyncIterator[APIRouter | None]:
    """Register the face and listen to Slack as long as this lasts; yields the routes that Slack calls.

    None where nothing of Slack is set; then nothing of it is imported. Raises CannotGoOnError where something that it
    needs is missing.
    """
    if not application.settings.has_slack:
        yield None
        return
    from bot.slack.running import listening

    async with listening(application) as router:
        yield router
