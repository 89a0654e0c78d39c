"""A person in the workspace, and everything that they can do there."""

import html
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.slack_emulator import acting
from tests.slack_emulator.answers import answer_submission, show_ack
from tests.slack_emulator.filling import fill
from tests.slack_emulator.oauth import allow
from tests.slack_emulator.payloads import message_json
from tests.slack_emulator.state import Channel, File, Json, Refused, SlackMessage, View

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator
    from tests.slack_emulator.workspace import Workspace

BUTTONS = frozenset({"button", "icon_button"})
MENUS = frozenset({"static_select", "overflow", "radio_buttons", "checkboxes"})
FEEDBACK = frozenset({"feedback_buttons"})
HOME_SECONDS = 60.0


@dataclass(kw_only=True, eq=False)
class Person:
    """Made by ``Workspace.add_user``. What cannot be done raises Refused; what the app answers too late,
    OperationTimeout.
    """

    slack: "SlackEmulator" = field(repr=False)
    workspace: "Workspace" = field(repr=False)
    name: str
    locale: str
    is_admin: bool = False
    id: str = ""
    dm: Channel = field(init=False)
    views: list[View] = field(default_factory=list)
    """The open modals, the topmost last."""
    home: View | None = None
    suggested_prompts: list[Json] = field(default_factory=list)
    """Dictionaries with ``title`` and ``message``."""

    def __post_init__(self) -> None:
        self.id = self.id or self.slack.ids.new("U")

    @property
    def handle(self) -> str:
        return self.name.lower().replace(" ", ".")

    @property
    def modal(self) -> View | None:
        """The modal that the person looks at."""
        return self.views[-1] if self.views else None

    async def post(
        self,
        channel: Channel,
        text: str = "",
        *,
        thread: str | None = None,
        files: Sequence[tuple[str, bytes | Path]] = (),
    ) -> str:
        """Say something, with files or without; returns the message's ``ts`` at once.

        ``@Tunesmith`` (the app's name) mentions the app.
        """
        self._must_be_in(channel)
        if thread is not None and (thread not in channel.messages or channel.messages[thread].thread_ts):
            raise Refused("thread_not_found", thread=thread)
        if text.startswith("/"):
            raise Refused("not_a_message", reason="Slack takes a line that begins with a slash for a command")
        message = SlackMessage(
            ts=self.slack.ids.stamp(),
            channel=channel.id,
            user=self.id,
            text=self._typed(text),
            files=[self._upload(name, data) for name, data in files],
            thread_ts=thread,
            subtype="file_share" if files else None,
            client_msg_id=str(uuid.uuid4()),
        )
        self.workspace.stand(channel, message)
        return message.ts

    async def edit(self, channel: Channel, ts: str, text: str) -> None:
        """Change a message of one's own."""
        message = self._own_message(channel, ts)
        before = message_json(self.workspace, message)
        message.text, message.edited_ts = self._typed(text), self.slack.ids.stamp()
        self.workspace.change(channel, message, before)

    async def delete(self, channel: Channel, ts: str) -> None:
        """Delete a message of one's own."""
        self.workspace.delete(channel, self._own_message(channel, ts))

    async def slash(self, channel: Channel, command: str, text: str = "", *, thread: str | None = None) -> Json:
        """Call a slash command; returns what the app acknowledged it with. Not possible in threads."""
        self._must_be_in(channel)
        if thread is not None:
            raise Refused("not_in_threads", reason=f"{command} is not supported in threads. Sorry!")
        if command not in self.slack.commands:
            raise Refused("not_a_command", reason=f"{command} is not a valid command.")
        payload = acting.slash_payload(self, channel, command, text)
        answer = await self.slack.delivery.ask("slash_commands", payload)
        show_ack(self, channel, answer)
        return answer

    async def press(self, channel: Channel, ts: str, wanted: str) -> None:
        """Press the button with that label or ``action_id`` in a message."""
        message = self._seen_message(channel, ts)
        element = acting.find_element(message.blocks, wanted, BUTTONS)
        await self._act(channel, message, acting.pressed(element, self.slack.ids.stamp()))

    async def choose(self, channel: Channel, ts: str, wanted: str) -> None:
        """Choose the entry with that text of a menu in a message."""
        message = self._seen_message(channel, ts)
        element = acting.find_element(message.blocks, wanted, MENUS)
        await self._act(channel, message, acting.chosen(element, wanted, self.slack.ids.stamp()))

    async def rate(self, channel: Channel, ts: str, value: str) -> None:
        """Press the feedback button with that value or label below an answer."""
        message = self._seen_message(channel, ts)
        element = acting.find_element(message.blocks, "", FEEDBACK)
        await self._act(channel, message, acting.rated(element, value, self.slack.ids.stamp()))

    async def press_in_view(
        self, wanted: str, *, is_home: bool = False, given: Mapping[str, Any] | None = None
    ) -> None:
        """Press a button, or choose an entry, in the modal or at home."""
        view = self.home if is_home else self.modal
        if view is None:
            raise Refused("no_view")
        element = acting.find_element(view.blocks, wanted, BUTTONS | MENUS)
        stamp = self.slack.ids.stamp()
        action = acting.pressed(element, stamp) if element["type"] in BUTTONS else acting.chosen(element, wanted, stamp)
        values = fill(view, given or {})[0] if view.content["type"] == "modal" else {}
        await self.slack.delivery.ask("interactive", acting.view_action(self, view, action, values))

    async def submit(self, given: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Fill the modal and submit it; returns the errors by field, ``{}`` when it was accepted."""
        view = self._open_modal()
        values, errors = fill(view, given or {})
        if not errors:
            answer = await self.slack.delivery.ask("interactive", acting.submission(self, view, values))
            errors = answer_submission(self, view, answer)
        view.errors = errors
        self.slack.changes.note()
        return errors

    async def close_modal(self) -> None:
        """Close the modal that the person looks at; with ``clear_on_close`` all of them."""
        view = self._open_modal()
        is_cleared = bool(view.content.get("clear_on_close"))
        closed = list(self.views) if is_cleared else [view]
        self.views = [each for each in self.views if each not in closed]
        self.slack.changes.note()
        for each in closed:
            if each.content.get("notify_on_close"):
                await self.slack.delivery.ask("interactive", acting.closing(self, each, is_cleared=is_cleared))

    async def open_home(self) -> View | None:
        """Open the app's Home tab; returns what stands there once the app has drawn it anew."""
        before = self.home.hash if self.home else ""
        self._open_tab("home")
        await self.slack.changes.until(lambda: self.home and self.home.hash != before, within_s=HOME_SECONDS)
        return self.home

    async def open_messages_tab(self) -> list[Json]:
        """Open the app's Messages tab; returns the suggested prompts, once there are some."""
        self._open_tab("messages")
        await self.slack.changes.until(lambda: self.suggested_prompts, within_s=HOME_SECONDS)
        return self.suggested_prompts

    async def shortcut(self, callback_id: str) -> None:
        """Call a global shortcut."""
        self._must_exist(callback_id, "global")
        await self.slack.delivery.ask("interactive", acting.global_shortcut(self, callback_id))

    async def message_shortcut(self, channel: Channel, ts: str, callback_id: str) -> None:
        """Call a shortcut from a message's menu."""
        self._must_exist(callback_id, "message")
        message = self._seen_message(channel, ts)
        await self.slack.delivery.ask("interactive", acting.message_shortcut(self, channel, message, callback_id))

    def allow(self, url: str) -> str:
        """Allow the app what the page at ``url`` asks for; returns where the browser is sent, with a code."""
        return allow(self, url)

    async def _act(self, channel: Channel, message: SlackMessage, action: Json) -> None:
        await self.slack.delivery.ask("interactive", acting.message_action(self, channel, message, action))

    def _open_tab(self, tab: str) -> None:
        event: Json = {
            "type": "app_home_opened",
            "user": self.id,
            "channel": self.dm.id,
            "tab": tab,
            "event_ts": self.slack.ids.stamp(),
        }
        self.workspace.emit(event, "app_home_opened")

    def _typed(self, text: str) -> str:
        escaped = html.escape(text, quote=False)
        return escaped.replace(f"@{self.slack.app_name}", f"<@{self.workspace.bot_user_id}>")

    def _upload(self, name: str, data: bytes | Path) -> File:
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        file = File(
            id=self.slack.ids.new("F"),
            team_id=self.workspace.team_id,
            name=name,
            size=size,
            user=self.id,
            data=data,
        )
        self.slack.files[file.id] = file
        return file

    def _must_be_in(self, channel: Channel) -> None:
        if self.id not in channel.members:
            raise Refused("not_in_channel", channel=channel.name, user=self.name)

    def _must_exist(self, callback_id: str, kind: str) -> None:
        if (kind, callback_id) not in self.slack.shortcuts:
            raise Refused("no_such_shortcut", wanted=callback_id, there=sorted(self.slack.shortcuts))

    def _seen_message(self, channel: Channel, ts: str) -> SlackMessage:
        self._must_be_in(channel)
        message = channel.messages.get(ts)
        if message is None or message.ephemeral_to not in {None, self.id}:
            raise Refused("message_not_found", ts=ts)
        return message

    def _own_message(self, channel: Channel, ts: str) -> SlackMessage:
        message = self._seen_message(channel, ts)
        if message.user != self.id:
            raise Refused("not_your_message")
        return message

    def _open_modal(self) -> View:
        if self.modal is None:
            raise Refused("no_modal")
        return self.modal
