"""What comes from Slack, as data: a payload that concerns us becomes an Arrival, which is kept and read again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from bot.slack.places import Place
from bot.slack.pressing import Pressed, read_press
from bot.slack.words import command_words, plain_words

WANTED_SUBTYPES = frozenset({None, "file_share", "thread_broadcast", "me_message"})
"""Of messages: what people say. Edits, deletions, joins and other bots are not said to us."""


@dataclass(frozen=True, kw_only=True)
class SlackFile:
    """A file that somebody shared."""

    id: str
    name: str = ""
    size_bytes: int | None = None
    url: str | None = None
    """Where the app may fetch it; none where Slack has to be asked first."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One thing that a person did."""

    event_id: str
    """The same for every delivery of the same act."""
    team: str
    user: str
    channel: str | None
    """None: it was done outside any channel; it goes on in the person's direct messages."""
    root: str | None
    """The thread it belongs to; None: it begins one with a message of ours."""
    order: str
    """A time of Slack (seconds.microseconds), by which the acts in a thread are ordered."""
    text: str = ""
    about: str | None = None
    said_as: str | None = None
    choice_of: str | None = None
    """For a button that could not carry what it says: our message whose choice of the label ``said_as`` is meant."""
    answers: Mapping[str, str] | None = None
    files: tuple[SlackFile, ...] = ()
    response_url: str | None = None
    """Where the person alone can be answered, where the app is not in the channel."""
    must_be_ours: bool = False
    """Whether it counts only in a thread that is ours already."""

    @property
    def place(self) -> Place | None:
        """The thread; None where it is still to begin."""
        if self.channel is None or self.root is None:
            return None
        return Place(team=self.team, channel=self.channel, root=self.root)

    @property
    def line(self) -> str:
        """Acts with the same line are handled one after the other."""
        place = self.place
        return place.key if place else f"{self.team}/{self.event_id}"


ARRIVALS: TypeAdapter[Arrival] = TypeAdapter(Arrival)
"""Reads and writes ``inbox.body``."""


def from_event(body: Mapping[str, Any], *, app_user: str | None) -> Arrival | None:
    """A ``message`` or ``app_mention`` event; None where it is nobody's word to us.

    A mention arrives as both: they have the same id, and so are one.
    """
    event = body["event"]
    if event.get("subtype") not in WANTED_SUBTYPES or event.get("bot_id") or not event.get("user"):
        return None
    if event["user"] == app_user:
        return None
    is_direct = event.get("channel_type") == "im"
    root = event.get("thread_ts")
    is_mention = event["type"] == "app_mention" or bool(app_user and f"<@{app_user}>" in event.get("text", ""))
    if not is_mention and not is_direct and root is None:
        return None
    team = body.get("team_id") or event.get("team")
    return Arrival(
        event_id=f"{team}/{event['channel']}/{event['ts']}",
        team=str(team),
        user=event["user"],
        channel=event["channel"],
        root=root or event["ts"],
        order=event["ts"],
        text=plain_words(event.get("text") or "", app_user=app_user),
        files=tuple(_file(file) for file in event.get("files") or ()),
        must_be_ours=not is_mention and not is_direct,
    )


def from_command(body: Mapping[str, Any]) -> Arrival:
    """A slash command: it begins a thread in its channel."""
    return Arrival(
        event_id=f"command/{body['trigger_id']}",
        team=body["team_id"],
        user=body["user_id"],
        channel=body["channel_id"],
        root=None,
        order=_order(body["trigger_id"]),
        text=command_words(body["command"], body.get("text") or ""),
        response_url=body.get("response_url"),
    )


def from_press(body: Mapping[str, Any]) -> Arrival | None:
    """A pressed button or a chosen entry of a menu; None for one that does not speak."""
    action = body["actions"][0]
    pressed = read_press(action)
    if pressed is None:
        return None
    container = body.get("container") or {}
    message = body.get("message") or {}
    is_home = container.get("type") == "view"
    root = None if is_home else message.get("thread_ts") or container.get("thread_ts") or container.get("message_ts")
    team = body["team"]["id"]
    where = container.get("view_id") or f"{container.get('channel_id')}/{container.get('message_ts')}"
    return Arrival(
        event_id=f"press/{team}/{where}/{action.get('action_ts')}/{body['user']['id']}/{action.get('action_id')}",
        team=team,
        user=body["user"]["id"],
        channel=None if is_home else container.get("channel_id"),
        root=root,
        order=str(action.get("action_ts")),
        response_url=body.get("response_url"),
        **_said(pressed),
    )


def from_form(
    *,
    team: str,
    user: str,
    place: Place,
    view_id: str,
    view_hash: str,
    order: str,
    about: str,
    answers: Mapping[str, str],
) -> Arrival:
    """A submitted form of a thread."""
    return Arrival(
        event_id=f"form/{team}/{view_id}/{view_hash}",
        team=team,
        user=user,
        channel=place.channel,
        root=place.root,
        order=order,
        about=about,
        answers=dict(answers),
    )


def from_shortcut(body: Mapping[str, Any]) -> Arrival:
    """The global shortcut begins in the person's direct messages; the message's one takes its files, in its thread."""
    message = body.get("message") or {}
    team = body["team"]["id"]
    return Arrival(
        event_id=f"shortcut/{body['trigger_id']}",
        team=team,
        user=body["user"]["id"],
        channel=(body.get("channel") or {}).get("id"),
        root=(message.get("thread_ts") or message.get("ts")) if message else None,
        order=str(body.get("action_ts") or _order(body["trigger_id"])),
        text="/finetune",
        files=tuple(_file(file) for file in message.get("files") or ()),
        response_url=body.get("response_url"),
    )


def _said(pressed: Pressed) -> dict[str, Any]:
    return {"text": pressed.say, "about": pressed.about, "said_as": pressed.label or None, "choice_of": pressed.of}


def _file(file: Mapping[str, Any]) -> SlackFile:
    size = file.get("size")
    return SlackFile(
        id=str(file.get("id", "")),
        name=str(file.get("name") or file.get("title") or ""),
        size_bytes=size if isinstance(size, int) else None,
        url=file.get("url_private_download") or file.get("url_private"),
    )


def _order(trigger_id: str) -> str:
    """The growing part of a trigger's id."""
    return trigger_id.partition(".")[0]
