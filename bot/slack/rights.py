"""Who may start, stop and deploy in Slack: everyone, unless the settings say otherwise."""

import asyncio

from bot.settings import Settings
from bot.slack.places import Place
from bot.slack.workspaces import Workspaces
from bot.turns import Rights


async def rights_of(settings: Settings, workspaces: Workspaces, place: Place, user: str) -> Rights:
    """The rights of somebody at a place.

    With ``TUNESMITH_SLACK_ADMINS`` these may, with ``TUNESMITH_SLACK_CHANNELS`` everybody there; with both, either.
    """
    admins, channels = settings.slack_admins, settings.slack_channels
    if not (admins or channels) or user in admins or place.channel in channels:
        return Rights()
    people, places = await asyncio.gather(
        asyncio.gather(*(workspaces.person(place.team, admin) for admin in admins)),
        asyncio.gather(*(workspaces.channel_name(place.team, channel) for channel in channels)),
    )
    return Rights(may_manage=False, whom_to_ask=tuple(person.name for person in people), places=tuple(places))
