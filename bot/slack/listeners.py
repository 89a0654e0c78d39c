"""Bolt's listeners: each turns a payload into an arrival and keeps it. Bolt acknowledges when a listener has ended."""

import asyncio
import re
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext

from bot.slack.arrivals import from_command, from_event, from_press, from_shortcut
from bot.slack.errors import NETWORK, NotInstalled
from bot.slack.forms import Forms
from bot.slack.home_tab import HomeTab
from bot.slack.inbox import Inbox
from bot.slack.installations import Installations
from bot.slack.manifest import FINETUNE_FILE, NEW_FINETUNING
from bot.slack.modal import FORM, OPEN_FORM, RATE
from bot.slack.places import person_name
from bot.slack.workspaces import Workspaces
from storage.ratings import rate
from storage.store import Store

log = structlog.get_logger(__name__)

EVERYTHING = re.compile(r"[\s\S]*")
SECONDS_TO_END = 2.0
"""What is being drawn at the end may take so long."""


class Listeners:
    """What Slack tells the app."""

    def __init__(
        self,
        *,
        store: Store,
        inbox: Inbox,
        forms: Forms,
        home: HomeTab,
        workspaces: Workspaces,
        installations: Installations | None,
    ) -> None:
        self._store = store
        self._workspaces = workspaces
        self._inbox = inbox
        self._forms = forms
        self._home = home
        self._installations = installations
        self._drawing: set[asyncio.Task[None]] = set()

    def install(self, app: AsyncApp) -> None:
        """Register everything. The narrower patterns come first: Bolt takes the first that fits."""
        app.event("message")(self.said)
        app.event("app_mention")(self.said)
        app.event("app_home_opened")(self.home_opened)
        app.event("app_uninstalled")(self.uninstalled)
        app.event("tokens_revoked")(self.revoked)
        app.command(EVERYTHING)(self.commanded)
        app.shortcut(NEW_FINETUNING)(self.shortcut)
        app.shortcut(FINETUNE_FILE)(self.shortcut)
        app.action(OPEN_FORM)(self.form_wanted)
        app.action(RATE)(self.rated)
        app.action(EVERYTHING)(self.pressed)
        app.view(FORM)(self.form_submitted)

    async def said(self, body: dict[str, Any], context: AsyncBoltContext) -> None:
        """Somebody wrote something."""
        arrival = from_event(body, app_user=context.bot_user_id)
        if arrival is not None:
            await self._inbox.accept(arrival)

    async def commanded(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A slash command."""
        await self._inbox.accept(from_command(body))
        await ack()

    async def shortcut(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A shortcut, from anywhere or from a message."""
        await self._inbox.accept(from_shortcut(body))
        await ack()

    async def pressed(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A button, or an entry of a menu."""
        arrival = from_press(body)
        if arrival is not None:
            await self._inbox.accept(arrival)
        await ack()

    async def rated(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """An opinion of an answer."""
        rated = self._rated(body)
        if rated is not None:
            message_id, is_good = rated
            name = person_name(body["team"]["id"], body["user"]["id"])
            async with self._store.transaction() as session:
                await rate(session, message_id=message_id, user_name=name, is_good=is_good)
        await ack()

    async def form_wanted(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The button that opens a form. The modal must be opened within three seconds."""
        await ack()
        view = await self._forms.open(body)
        if view is not None:
            try:
                client = await self._workspaces.client(body["team"]["id"])
                await client.views_open(trigger_id=body["trigger_id"], view=view)
            except (*NETWORK, NotInstalled) as error:
                # The button is still there: it can be pressed again.
                log.info("slack.form_not_opened", error=type(error).__name__)

    async def form_submitted(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A submitted form: errors are shown at their fields, else the thread goes on."""
        errors = await self._forms.submit(body)
        if errors:
            await ack(response_action="errors", errors=errors)
        else:
            await ack(response_action="clear")

    async def home_opened(self, body: dict[str, Any]) -> None:
        """Somebody looks at the app's home, or at their messages with it.

        Slack is told at once that it came, and would tell again after three seconds: on a busy machine a home is shown
        late, neither never nor twice.
        """
        task = asyncio.create_task(self._draw(body))
        self._drawing.add(task)
        task.add_done_callback(self._drawing.discard)

    async def close(self) -> None:
        """End what runs in the background; whoever looks at their home again is shown it."""
        if not self._drawing:
            return
        _, late = await asyncio.wait(list(self._drawing), timeout=SECONDS_TO_END)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def uninstalled(self, body: dict[str, Any]) -> None:
        """The app was removed from a workspace: its tokens are forgotten."""
        if self._installations is not None:
            workspace = body.get("team_id") or body.get("enterprise_id") or ""
            await self._installations.forget(workspace, told_at=body["event_time"])
        log.info("slack.uninstalled", team=body.get("team_id"))

    async def revoked(self, body: dict[str, Any]) -> None:
        """Tokens were revoked; where the bot's is among them, the installation is of no use any more."""
        if (body["event"].get("tokens") or {}).get("bot"):
            await self.uninstalled(body)

    async def _draw(self, body: dict[str, Any]) -> None:
        event, team = body["event"], body["team_id"]
        try:
            client = await self._workspaces.client(team)
            if event.get("tab") == "home":
                await self._home.publish(client, team=team, user=event["user"])
            else:
                await self._home.suggest(client, team=team, user=event["user"], channel=event["channel"])
        except (*NETWORK, NotInstalled) as error:
            log.info("slack.home_not_shown", error=type(error).__name__)
        except Exception:
            log.exception("slack.home_failed")

    @staticmethod
    def _rated(body: dict[str, Any]) -> tuple[str, bool] | None:
        action = body["actions"][0]
        value = str(action.get("value") or "")
        message_id = str(action.get("block_id") or "").partition(":")[2]
        return (message_id, value == "good") if message_id and value in {"good", "bad"} else None
