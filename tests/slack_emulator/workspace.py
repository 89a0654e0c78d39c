"""A workspace: its people, channels and messages, and the app's installation in it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.slack_emulator.payloads import callback, changed_event, deleted_event, message_event, message_json
from tests.slack_emulator.people import Person
from tests.slack_emulator.state import Channel, File, Json, Refused, SlackMessage, Token

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator

EVENT_OF_KIND = {"public": "message.channels", "private": "message.groups", "im": "message.im"}


class Workspace:
    """Made by ``SlackEmulator.add_workspace``."""

    def __init__(self, slack: "SlackEmulator", name: str) -> None:
        self.slack = slack
        self.name = name
        self.domain = name.lower().replace(" ", "-")
        self.team_id = slack.ids.new("T")
        self.team_number = slack.ids.number()
        self.bot_user_id = slack.ids.new("U")
        self.bot_id = slack.ids.new("B")
        self.users: dict[str, Person] = {}
        self.channels: dict[str, Channel] = {}
        self.token: Token | None = None
        """The app's newest token here; None: it was never installed."""

    @property
    def is_installed(self) -> bool:
        return self.token is not None and self.token.revoked_as is None

    @property
    def bot_token(self) -> str:
        """The app's token here. Raises Refused where it is not installed."""
        if self.token is None:
            raise Refused("not_installed")
        return self.token.value

    def add_user(self, name: str, *, locale: str = "en-US", is_admin: bool = False) -> Person:
        """Somebody new, with direct messages with the app."""
        person = Person(slack=self.slack, workspace=self, name=name, locale=locale, is_admin=is_admin)
        self.users[person.id] = person
        person.dm = Channel(id=self.slack.ids.new("D"), name="directmessage", kind="im", members={person.id})
        self.channels[person.dm.id] = person.dm
        self.slack.changes.note()
        return person

    def add_channel(
        self, name: str, *, members: Iterable[Person] = (), has_bot: bool = True, is_private: bool = False
    ) -> Channel:
        """A channel with these people, and with the app or without it."""
        channel = Channel(
            id=self.slack.ids.new("C"),
            name=name,
            kind="private" if is_private else "public",
            members={person.id for person in members},
            has_bot=has_bot,
        )
        self.channels[channel.id] = channel
        self.slack.changes.note()
        return channel

    def channel_messages(self, channel: Channel, *, seen_by: Person | None = None) -> list[SlackMessage]:
        """Messages outside threads, oldest first; ephemeral ones where ``seen_by`` sees them."""
        return [each for each in self._seen(channel, seen_by) if each.thread_ts is None]

    def thread(self, channel: Channel, ts: str, *, seen_by: Person | None = None) -> list[SlackMessage]:
        """The root and its replies, oldest first; without ``seen_by``, everybody's ephemeral messages are in it."""
        return [each for each in self._seen(channel, seen_by) if ts in {each.ts, each.thread_ts}]

    def stand(self, channel: Channel, message: SlackMessage) -> None:
        """A new message stands in a channel: everybody sees it, and the app hears of it."""
        channel.messages[message.ts] = message
        for file in message.files:
            file.channels.add(channel.id)
        if not message.is_ephemeral and not message.is_streaming:
            self.tell(channel, message)
        self.slack.changes.note()

    def tell(self, channel: Channel, message: SlackMessage) -> None:
        """Tell the app of a new message: as ``message``, and where it is mentioned as ``app_mention`` too."""
        if not channel.has_bot:
            return
        self.emit(message_event(self, channel, message), EVENT_OF_KIND[channel.kind])
        if f"<@{self.bot_user_id}>" in message.text and channel.kind != "im" and not message.bot_id:
            event = {**message_event(self, channel, message), "type": "app_mention"}
            event.pop("channel_type")
            event.pop("subtype", None)
            self.emit(event, "app_mention")

    def change(self, channel: Channel, message: SlackMessage, before: Json) -> None:
        """A message was edited; ``before``: as it was."""
        if channel.has_bot and not message.is_ephemeral:
            self.emit(changed_event(self, channel, message, before), EVENT_OF_KIND[channel.kind])
        self.slack.changes.note()

    def delete(self, channel: Channel, message: SlackMessage) -> None:
        """A message goes; one with replies leaves a gravestone."""
        before = message_json(self, message, has_metadata=True)
        if any(each.thread_ts == message.ts for each in channel.messages.values()):
            message.text, message.blocks, message.files = "This message was deleted.", [], []
            message.subtype, message.metadata = "tombstone", None
        else:
            channel.messages.pop(message.ts, None)
        if channel.has_bot and not message.is_ephemeral:
            self.emit(deleted_event(self, channel, before), EVENT_OF_KIND[channel.kind])
        self.slack.changes.note()

    def emit(self, event: Json, subscription: str) -> None:
        """Deliver an event, if the app is installed and its manifest subscribes to it."""
        if self.is_installed and subscription in self.slack.subscriptions:
            self.slack.delivery.event(callback(self, event))

    def uninstall(self) -> None:
        """Somebody removes the app: its tokens end, and it is told of both."""
        bots = [self.bot_user_id]
        for event in ({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": bots}}, {"type": "app_uninstalled"}):
            self.emit({**event, "event_ts": self.slack.ids.stamp()}, str(event["type"]))
        self.end_tokens("account_inactive")

    def end_tokens(self, revoked_as: str) -> None:
        """All tokens of the app here get this error from now on."""
        for token in self.slack.tokens.values():
            if token.team_id == self.team_id and token.revoked_as is None:
                token.revoked_as = revoked_as
        self.slack.changes.note()

    def file_is_visible_to_bot(self, file: File) -> bool:
        """Whether the app shared it, or is where it was shared."""
        if file.user == self.bot_user_id:
            return True
        return any(self.channels[channel].has_bot for channel in file.channels)

    def _seen(self, channel: Channel, seen_by: Person | None) -> list[SlackMessage]:
        return [
            each
            for each in sorted(channel.messages.values(), key=lambda message: message.ts)
            if seen_by is None or each.ephemeral_to in {None, seen_by.id}
        ]
