"""What a person finds at the app's home and above an empty conversation: their own things, and how to begin."""

import uuid

from slack_sdk.web.async_client import AsyncWebClient

from bot.assistant import Assistant
from bot.dialogs.general import starters
from bot.replies import Listing
from bot.slack.home import home_view
from bot.slack.places import FACE, person_name
from bot.slack.workspaces import Workspaces
from bot.texts import nearest_language, texts
from bot.turns import ThreadRef, Turn, UserRef

SHOWN = ("/runs", "/models", "/services")
"""The commands whose answers stand at home."""


class HomeTab:
    """Fills the tabs of the app."""

    def __init__(self, assistant: Assistant, workspaces: Workspaces) -> None:
        self._assistant = assistant
        self._workspaces = workspaces

    async def publish(self, client: AsyncWebClient, *, team: str, user: str) -> None:
        """Draw somebody's home as it is now."""
        language = await self._language(team, user)
        listings = [
            reply
            for said in SHOWN
            for reply in await self._assistant.rehearse(self._turn(team, user, said, language))
            if isinstance(reply, Listing)
        ]
        view = home_view(texts(language)("greeting"), starters(language), listings)
        await client.views_publish(user_id=user, view=view)

    async def suggest(self, client: AsyncWebClient, *, team: str, user: str, channel: str) -> None:
        """Offer what a conversation can begin with."""
        prompts = [
            {"title": choice.label, "message": choice.label} for choice in starters(await self._language(team, user))
        ]
        await client.api_call("assistant.threads.setSuggestedPrompts", json={"channel_id": channel, "prompts": prompts})

    async def _language(self, team: str, user: str) -> str:
        return nearest_language((await self._workspaces.person(team, user)).locale)

    @staticmethod
    def _turn(team: str, user: str, said: str, language: str) -> Turn:
        # A thread of its own that is never kept: what a list says does not depend on it.
        return Turn(
            event_id=str(uuid.uuid4()),
            thread=ThreadRef(face=FACE, key=f"{team}/home/{user}"),
            user=UserRef(name=person_name(team, user)),
            text=said,
            language=language,
        )
