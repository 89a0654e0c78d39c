"""Who may start, stop and deploy in Slack."""

from pathlib import Path

import pytest

from bot.settings import Settings
from bot.slack.limits import Limits
from bot.slack.places import Place
from bot.slack.rights import rights_of
from bot.slack.workspaces import Workspaces
from bot.turns import Rights
from tests.slack_emulator import SlackEmulator
from tests.slack_talk import slack_settings


@pytest.mark.parametrize(
    ("admins", "channels", "who", "where", "rights"),
    [
        ((), (), "Bob", "general", Rights()),
        (("Ann Lee",), (), "Ann Lee", "general", Rights()),
        (("Ann Lee",), (), "Bob", "general", Rights(may_manage=False, whom_to_ask=("Ann Lee",))),
        ((), ("training",), "Bob", "training", Rights()),
        ((), ("training",), "Bob", "general", Rights(may_manage=False, places=("#training",))),
        (("Ann Lee",), ("training",), "Bob", "training", Rights()),
        (("Ann Lee",), ("training",), "Ann Lee", "general", Rights()),
        (
            ("Ann Lee",),
            ("training",),
            "Bob",
            "general",
            Rights(may_manage=False, whom_to_ask=("Ann Lee",), places=("#training",)),
        ),
    ],
)
async def test_admins_everywhere_and_everyone_where_it_is_allowed(
    tmp_path: Path, admins: tuple[str, ...], channels: tuple[str, ...], who: str, where: str, rights: Rights
) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        people = {name: workspace.add_user(name) for name in ("Ann Lee", "Bob")}
        places = {name: workspace.add_channel(name, members=people.values()) for name in ("general", "training")}
        settings: Settings = slack_settings(
            slack,
            workspace,
            tmp_path,
            slack_admins=tuple(people[name].id for name in admins),
            slack_channels=tuple(places[name].id for name in channels),
        )
        workspaces = Workspaces(settings, None, Limits())
        place = Place(team=workspace.team_id, channel=places[where].id, root="1.0")
        assert await rights_of(settings, workspaces, place, people[who].id) == rights
