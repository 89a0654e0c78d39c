"""What the emulated Slack knows, as data."""

import itertools
import mimetypes
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.slack_emulator.words import buttons_in, words_of

Json = dict[str, Any]


class Refused(Exception):
    """What Slack would not do: its error code, and what else its answer says."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(f"{error} {more or ''}".strip())
        self.error = error
        self.more = more


class Ids:
    """Identifiers and time stamps, no two alike."""

    def __init__(self) -> None:
        self._numbers = itertools.count(0xA1)
        self._last_microsecond = 0

    def new(self, prefix: str) -> str:
        """Such as ``C00000A1``."""
        return f"{prefix}0{next(self._numbers):07X}"

    def number(self) -> int:
        return next(self._numbers)

    def stamp(self) -> str:
        """A ``ts``: seconds with six digits behind the point, always later than the one before."""
        self._last_microsecond = max(time.time_ns() // 1000, self._last_microsecond + 1)
        seconds, micros = divmod(self._last_microsecond, 10**6)
        return f"{seconds}.{micros:06d}"


@dataclass(kw_only=True)
class File:
    """A file; ``data`` is None until it is uploaded."""

    id: str
    team_id: str
    name: str
    size: int
    user: str
    title: str = ""
    data: bytes | Path | None = None
    channels: set[str] = field(default_factory=set)
    created: float = field(default_factory=time.time)
    ready_at: float = 0.0
    is_deleted: bool = False

    @property
    def mimetype(self) -> str:
        """Empty as long as Slack has not looked at it."""
        if self.data is None or time.monotonic() < self.ready_at:
            return ""
        return mimetypes.guess_type(self.name)[0] or "text/plain"


@dataclass(kw_only=True)
class SlackMessage:
    """A message as it stands now."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    thread_ts: str | None = None
    """The root's ``ts``, in replies only."""
    metadata: Json | None = None
    bot_id: str | None = None
    subtype: str | None = None
    edited_ts: str | None = None
    client_msg_id: str | None = None
    ephemeral_to: str | None = None
    """The only person who sees it."""
    stream_ends_at: float | None = None
    """A monotonic time; None: it is no stream (any more)."""
    streamed_characters: int = 0

    @property
    def is_ephemeral(self) -> bool:
        return self.ephemeral_to is not None

    @property
    def is_streaming(self) -> bool:
        return self.stream_ends_at is not None and time.monotonic() < self.stream_ends_at

    @property
    def words(self) -> str:
        """Everything that a person reads in it, a line each."""
        return words_of(self.text, self.blocks, [file.name for file in self.files])

    @property
    def buttons(self) -> list[str]:
        """The labels of what can be pressed or chosen in it."""
        return buttons_in(self.blocks)


@dataclass(kw_only=True)
class Channel:
    """A channel, or the direct messages of a person with the app."""

    id: str
    name: str
    kind: Literal["public", "private", "im"]
    members: set[str] = field(default_factory=set)
    has_bot: bool = True
    refuses_posts: str = ""
    """The error that the app's posts get here."""
    messages: dict[str, SlackMessage] = field(default_factory=dict)
    """By ``ts``, oldest first; replies and ephemeral messages too."""
    statuses: dict[str, str] = field(default_factory=dict)
    """What the app says it is doing, by thread."""

    @property
    def is_private(self) -> bool:
        return self.kind == "private"

    @property
    def event_kind(self) -> str:
        """``channel_type`` in events."""
        return {"public": "channel", "private": "group", "im": "im"}[self.kind]


@dataclass(kw_only=True)
class View:
    """A modal or a home."""

    id: str
    hash: str
    user: str
    content: Json
    """What the app sent."""
    previous_id: str | None = None
    root_id: str
    errors: dict[str, str] = field(default_factory=dict)
    """What the app found wrong with the last submission, by ``block_id``."""

    @property
    def blocks(self) -> list[Json]:
        return list(self.content["blocks"])

    @property
    def title(self) -> str:
        return str((self.content.get("title") or {}).get("text", ""))

    @property
    def words(self) -> str:
        return "\n".join(filter(None, [self.title, words_of("", self.blocks, [])]))

    @property
    def buttons(self) -> list[str]:
        return buttons_in(self.blocks)


@dataclass(kw_only=True)
class Token:
    """A token of an app in a workspace; ``expires_at`` is a wall-clock time, None: never."""

    value: str
    team_id: str
    scopes: tuple[str, ...]
    expires_at: float | None = None
    refresh_token: str | None = None
    revoked_as: str | None = None
    """The error that calls with it get."""


@dataclass(kw_only=True)
class Trigger:
    """What allows to open a modal for a person, for three seconds, once."""

    id: str
    team_id: str
    user: str
    expires_at: float
    view_id: str | None = None
    """The modal that it was pressed or submitted in."""
    is_used: bool = False


@dataclass(kw_only=True)
class ResponseUrl:
    """An address at which the app may answer five times within half an hour."""

    team_id: str
    channel: str
    user: str
    expires_at: float
    uses_left: int = 5
    message_ts: str | None = None
    """The message that holds what was pressed."""
