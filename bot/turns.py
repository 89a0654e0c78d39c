"""What comes in: one turn of a person, as data."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ThreadRef:
    """A thread: the face, and the face's own key of the thread."""

    face: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Whether a person may start, stop and deploy where they are, and what to say where not."""

    may_manage: bool = True
    whom_to_ask: tuple[str, ...] = ()
    """Names of those who may."""
    places: tuple[str, ...] = ()
    """Names of the places where it is allowed, where it is a matter of place."""


@dataclass(frozen=True, kw_only=True)
class UserRef:
    """A person as the face knows them."""

    name: str = "local"
    rights: Rights = Rights()


class UploadBroken(Exception):
    """A file could not be fetched from its face; ``code`` is the id of the sentence that says why, with ``values``."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that came with a turn. ``chunks`` may be read once, and raises UploadBroken."""

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
    is_private: bool = True
    """Whether nobody else reads the thread: what is secret may be shown there."""
