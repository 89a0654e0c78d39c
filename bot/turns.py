"""What comes in: one turn of a person, as data."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ThreadRef:
    """A thread: the face, and the face's own key of the thread."""

    face: str
    key: str


@dataclass(frozen=True, kw_only=True)
class UserRef:
    """A person as the face knows them."""

    name: str = "local"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that came with a turn. ``chunks`` may be read once."""

    name: str
    size_bytes: int | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One delivery of a face."""

    event_id: str
    """Of the delivery: the same id on the same face is handled once."""
    thread: ThreadRef
    user: UserRef = field(default_factory=UserRef)
    text: str = ""
    """What was typed; a pressed button sends the typed equivalent of its choice."""
    about: str | None = None
    """For a pressed button: the id of the question that it belongs to (``Question.id``), so that a button of an
    earlier question changes that answer and never answers the present one."""
    answers: Mapping[str, str] | None = None
    """The fields of a submitted form, as typed."""
    uploads: tuple[Upload, ...] = ()
    language: str = "en"
    """The face's guess for a new thread: ``en`` or ``zh-CN``."""
    said_as: str | None = None
    """For a pressed button: its label, which is what the thread then shows as said."""
    message_id: str | None = None
    """The face's id for the person's message, where it must be ours too (the web draws it before we see it)."""
