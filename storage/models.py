"""The tables. Rows are the records that the packages above work with; every time is UTC."""

from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, MetaData, TypeDecorator, UniqueConstraint
from sqlalchemy import Enum as EnumType
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storage.states import HostState, MessageState, ModelKind, ModelState, Role, RunState, ServiceState, Wish

Json = dict[str, Any]


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, stored as UTC; SQLite forgets the zone, this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Refuse a time without a zone, and store UTC."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs its zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Give the zone back."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh random id (a UUID, as text: the web's message ids are UUIDs too)."""
    return str(uuid4())


def _values(states: type[Enum]) -> list[str]:
    return [str(state.value) for state in states]


# Plain text on every database: a new state needs no migration, and rows read as the code does.
STATES = EnumType(StrEnum, native_enum=False, length=16, values_callable=_values)


class Base(AsyncAttrs, DeclarativeBase):
    """What all tables share: named constraints, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcDateTime, Json: JSON, list[str]: JSON, StrEnum: STATES}


class User(Base):
    """A person. On one machine without accounts there is one, ``local``."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    settings: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Thread(Base):
    """A conversation on a face, with what is open in it."""

    __tablename__ = "threads"
    __table_args__ = (UniqueConstraint("face", "face_key"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    face: Mapped[str]
    face_key: Mapped[str]
    """The face's own name of the thread."""
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="en")
    draft: Mapped[Json | None] = mapped_column(default=None)
    """The plan being made (``bot.draft.Draft``); none when nothing is being asked."""
    deployment: Mapped[Json | None] = mapped_column(default=None)
    """The deployment being asked about (``bot.dialogs.deployment.Deployment``); a plan that is open waits meanwhile."""
    service_id: Mapped[str | None] = mapped_column(ForeignKey("services.id", ondelete="SET NULL"), default=None)
    """The service that plain messages go to."""
    speaker: Mapped[str] = mapped_column(default="tuned")
    """``tuned``, or ``base`` for the service's base model."""
    system_prompt: Mapped[str | None] = mapped_column(default=None)
    """None: the model's own default."""
    sampling: Mapped[Json] = mapped_column(default=dict)
    """``temperature`` and the like, as set by ``/params``."""
    messages_count: Mapped[int] = mapped_column(default=0)
    """The position of the next message."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Message(Base):
    """What was said, by whom, as data. A reply with a key replaces the thread's message of that key."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("thread_id", "key"),
        UniqueConstraint("thread_id", "position"),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    position: Mapped[int]
    key: Mapped[str | None] = mapped_column(default=None)
    role: Mapped[Role]
    body: Mapped[Json]
    """A reply of ``bot.replies``, or for a person's message ``bot.replies.Said``."""
    conversation: Mapped[str | None] = mapped_column(default=None)
    """For messages exchanged with a model: ``<service id>/<tuned or base>``; they make the model's history."""
    state: Mapped[MessageState] = mapped_column(default=MessageState.COMPLETE)
    revision: Mapped[int] = mapped_column(default=1)
    shown_as: Mapped[str | None] = mapped_column(default=None)
    """The face's own id of the message that shows this one."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Outbox(Base):
    """A message whose newest revision its face has not shown yet."""

    __tablename__ = "outbox"
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), index=True)
    face: Mapped[str] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=now)
    last_error: Mapped[str | None] = mapped_column(default=None)


class SeenEvent(Base):
    """A delivery that was handled: the same one is handled once."""

    __tablename__ = "seen_events"
    face: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(default=now)


class Inbox(Base):
    """A delivery that was acknowledged to a face's other side and is not handled yet: a kill must not lose it."""

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_face_thread_key", "face", "thread_key"),)
    face: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    thread_key: Mapped[str]
    """Deliveries of one thread are handled one after the other."""
    place: Mapped[str]
    """Orders the deliveries of a thread as they happened, not as they came."""
    body: Mapped[Json]
    attempts: Mapped[int] = mapped_column(default=0)
    received_at: Mapped[datetime] = mapped_column(default=now)


class Shown(Base):
    """A face's own message that shows (a part of) one of ours, where posting twice would show it twice.

    The row is written before the posting, without ``shown_as``: whoever finds it so looks whether it was posted.
    """

    __tablename__ = "shown"
    message_id: Mapped[str] = mapped_column(primary_key=True)
    """Of ``messages``, or the name of what begins a thread there."""
    part: Mapped[int] = mapped_column(primary_key=True)
    """From 0: a long message takes several."""
    shown_as: Mapped[str | None] = mapped_column(default=None)
    digest: Mapped[str | None] = mapped_column(default=None)
    """Of the content that it shows."""
    is_streaming: Mapped[bool] = mapped_column(default=False)
    """Whether it was begun as a stream that is not ended yet."""
    picture: Mapped[str | None] = mapped_column(default=None)
    """The face's own name of the picture in it."""
    picture_digest: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Installation(Base):
    """The app in a workspace of a face, with its tokens, encrypted."""

    __tablename__ = "installations"
    face: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str]
    """Encrypted JSON."""
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Rating(Base):
    """What somebody thinks of a model's answer."""

    __tablename__ = "ratings"
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    is_good: Mapped[bool]
    rated_at: Mapped[datetime] = mapped_column(default=now)


class Dataset(Base):
    """A named data set; its contents are its versions."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class DatasetVersion(Base):
    """One immutable content of a data set, found by its hash, with what the check said of it."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "sha256"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    sha256: Mapped[str]
    file_name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    artifact: Mapped[str]
    """The folder's key below the artifact root."""
    report: Mapped[Json]
    """``training.datasets.DatasetReport`` as JSON."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class DatasetStatistics(Base):
    """Token counts of a version for one tokenizer with one template, and one set of fills."""

    __tablename__ = "dataset_statistics"
    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    """Of tokenizer, template, column mapping and fills."""
    statistics: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Model(Base):
    """A model of the catalogue: a base model, or what a run made, with its lineage."""

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[ModelKind]
    state: Mapped[ModelState] = mapped_column(default=ModelState.READY)
    reason: Mapped[str | None] = mapped_column(default=None)
    source: Mapped[str]
    """A folder (absolute path), ``artifact:<key>``, or ``hub:<name>`` while it is being fetched."""
    facts: Mapped[Json]
    """Base: ``training.checkpoints.CheckpointFacts``. Tuned: ``training.adapters.AdapterFacts``."""
    base_model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"), default=None)
    run_id: Mapped[str | None] = mapped_column(
        ForeignKey("runs.id", ondelete="SET NULL", use_alter=True), default=None, unique=True
    )
    system_prompt: Mapped[str | None] = mapped_column(default=None)
    """The training data's own, the default of a thread that talks to this model."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Experiment(Base):
    """A plan as it was given; one run a task."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    plan: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Run(Base):
    """One training run: what should be (spec, stop), and what was found (state, reason)."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    thread_id: Mapped[str | None] = mapped_column(ForeignKey("threads.id", ondelete="SET NULL"), default=None)
    """Where its card lives."""
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    base_model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    spec: Mapped[Json]
    """``training.spec.TrainingSpec`` as JSON."""
    fills: Mapped[Json] = mapped_column(default=dict)
    estimate: Mapped[Json] = mapped_column(default=dict)
    """``training.estimate.Estimate`` as JSON."""
    questions: Mapped[list[str]] = mapped_column(default=list)
    """What base and tuned model are both asked at the end."""
    deploys: Mapped[bool] = mapped_column(default=True)
    """Whether a service is wanted as soon as the model is there."""
    resumes_from: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), default=None)
    place: Mapped[str | None] = mapped_column(default=None)
    """Where it trains, by name, of the places that could be chosen from; none: there was no choice."""
    state: Mapped[RunState] = mapped_column(default=RunState.QUEUED, index=True)
    stop_wanted: Mapped[bool] = mapped_column(default=False)
    deletion_wanted_at: Mapped[datetime | None] = mapped_column(default=None)
    """Since when it should be gone: it is in no list any more, and the loops take away what it left."""
    reason: Mapped[str | None] = mapped_column(default=None)
    """``training.runs.Reason`` of a run that did not succeed."""
    detail: Mapped[str | None] = mapped_column(default=None)
    """The reason's own words: an exception's last line, say."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Attempt(Base):
    """One submission of a run to a backend."""

    __tablename__ = "attempts"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[RunState] = mapped_column(default=RunState.PENDING)
    reason: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Progress(Base):
    """A point of a run's curves."""

    __tablename__ = "progress"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    training_loss: Mapped[float | None] = mapped_column(default=None)
    validation_loss: Mapped[float | None] = mapped_column(default=None)
    learning_rate: Mapped[float | None] = mapped_column(default=None)
    at: Mapped[datetime] = mapped_column(default=now)


class Host(Base):
    """A vLLM server wanted for one base model in one place, and what was found."""

    __tablename__ = "hosts"
    __table_args__ = (UniqueConstraint("base_model_id", "place"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    base_model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    place: Mapped[str] = mapped_column(default="")
    """By name, of the places that could be chosen from; empty: there was no choice."""
    wanted: Mapped[Wish] = mapped_column(default=Wish.UP)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    """Whether it stays up however long nobody asks it anything."""
    is_asleep: Mapped[bool] = mapped_column(default=False)
    """Whether it gave back what it computes with, until somebody asks it something."""
    state: Mapped[HostState] = mapped_column(default=HostState.STOPPED)
    reason: Mapped[str | None] = mapped_column(default=None)
    settings: Mapped[Json] = mapped_column(default=dict)
    """What of ``serving.services.HostSpec`` is not given by the base model."""
    found: Mapped[Json] = mapped_column(default=dict)
    """What was found besides its state, for people: ``waiting``, ``words``, ``ready`` (replicas that answer)."""
    used_at: Mapped[datetime] = mapped_column(default=now)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Service(Base):
    """A name for a model on a host; threads talk to services."""

    __tablename__ = "services"
    __table_args__ = (Index("ix_services_host_id", "host_id"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), default=None)
    """Who asked for it."""
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id"))
    thread_id: Mapped[str | None] = mapped_column(
        ForeignKey("threads.id", ondelete="SET NULL", use_alter=True), default=None
    )
    """Where its card lives and who is told when it is ready."""
    wanted: Mapped[Wish] = mapped_column(default=Wish.UP)
    state: Mapped[ServiceState] = mapped_column(default=ServiceState.WAITING)
    reason: Mapped[str | None] = mapped_column(default=None)
    compared: Mapped[bool] = mapped_column(default=False)
    """Whether base and tuned model have answered the run's questions side by side."""
    accepts_endless: Mapped[str | None] = mapped_column(default=None)
    """The id of the model that somebody wants served though its answers do not end by themselves."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class ApiKey(Base):
    """A key to our OpenAI-compatible endpoint. The key itself is shown once and never kept."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    """SHA-256 of the key, in hexadecimal: a key of 256 random bits needs no slower hash."""
    ending: Mapped[str]
    """The key's last characters, by which people know it again."""
    services: Mapped[list[str]] = mapped_column(default=list)
    """Ids of the services that it opens; none: all of its owner's."""
    requests_per_minute: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
