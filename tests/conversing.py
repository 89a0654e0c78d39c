"""Guided conversations over a real database: a small base model, a machine of known size, and dialogs as lists."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import cast

from sqlalchemy import select
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from bot.assistant import Assistant
from bot.delivery import Delivery
from bot.draft import Draft
from bot.replies import Choice, Question, Reply, Review, RunCard
from bot.settings import Settings
from bot.speaking import Speaking
from bot.turns import Rights, ThreadRef, Turn, Upload, UserRef
from bot.wiring import HANDLERS, assemble
from bot.world import World
from serving.services import ModelServer
from storage.models import Model, Run, Thread, User
from storage.states import ModelKind
from storage.store import Store
from tests.databases import put_database
from tests.fake_runs import FakeRuns
from tests.planning import SMALL
from tests.recording import RecordingFace, words
from training.machine import Machine
from training.places import Cards, ClusterPlace

MACHINE = Machine(
    cores=8,
    memory_bytes=32 << 30,
    available_memory_bytes=24 << 30,
    free_disk_bytes=1 << 40,
    gpus=(),
    packages=frozenset(),
)

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


ANYTHING = Rights()

BEIJING = ClusterPlace(
    name="beijing", namespace="team-a", image="trainer:1", cards=Cards(products=("H100",), per_node=4), node_cpu=32
)
SHANGHAI = ClusterPlace(name="shanghai-2", namespace="team-b", image="trainer:1", cards=Cards(per_node=0), node_cpu=16)
PLACES = (BEIJING, SHANGHAI)
"""Two places to choose from: one with GPUs, one without."""


@dataclass(kw_only=True)
class Bench:
    """One home with a database, and a face that remembers; the assistant is made anew for every turn."""

    world: World
    face: RecordingFace
    _events: Iterable[int] = field(default_factory=count)

    async def say(
        self,
        text: str = "",
        *,
        files: Sequence[Path] = (),
        about: str | None = None,
        answers: dict[str, str] | None = None,
        thread: str = "thread",
        language: str = "en",
        event_id: str | None = None,
        user: str = "local",
        rights: Rights = ANYTHING,
    ) -> list[Reply]:
        """Say something and return what was newly shown for it, in order (the last state of each message)."""
        before = len(self.face.showings)
        delivery = Delivery(self.world.store, {"test": self.face})
        turn = Turn(
            event_id=event_id or f"event-{next(iter(self._events))}",
            thread=ThreadRef(face="test", key=thread),
            user=UserRef(name=user, rights=rights),
            text=text,
            about=about,
            answers=answers,
            uploads=tuple(upload(path) for path in files),
            language=language,
        )
        assistant = Assistant(self.world, delivery, Speaking(self.world, delivery), HANDLERS)
        self.went_well = await assistant.handle(turn)
        shown = {shown_id: reply for _, shown_id, reply in self.face.showings[before:]}
        return list(shown.values())

    went_well: bool = True
    """Whether the last turn did what was asked."""

    async def converse(
        self, dialog: Sequence[tuple[str, str]], *, thread: str = "thread", language: str = "en"
    ) -> None:
        """Hold a dialog: each answer must contain the expected words (several, divided by ``|``)."""
        for said, answered in dialog:
            replies = await self.say(said, thread=thread, language=language)
            seen = "\n".join(words(reply) for reply in replies)
            for expected in answered.split("|"):
                assert expected in seen, f"after {said!r} expected {expected!r} in:\n{seen}"

    async def title(self, thread: str = "thread") -> str:
        """What the thread is called."""
        async with self.world.store.reading() as session:
            row = await session.scalar(select(Thread).where(Thread.face_key == thread))
        return row.title if row else ""

    async def draft(self, thread: str = "thread") -> Draft | None:
        """The plan that is open in a thread."""
        async with self.world.store.reading() as session:
            row = await session.scalar(select(Thread).where(Thread.face_key == thread))
        return Draft.model_validate(row.draft) if row and row.draft is not None else None

    async def runs(self) -> Sequence[Run]:
        """All runs."""
        async with self.world.store.reading() as session:
            return (await session.scalars(select(Run).order_by(Run.created_at))).all()

    async def user_name(self, user_id: str) -> str:
        """What a person is called."""
        async with self.world.store.reading() as session:
            return (await session.get_one(User, user_id)).name

    def open_question(self, thread: str = "thread") -> Question | Review:
        """The lowest question or review that waits for an answer."""
        for reply in reversed(self.face.visible(thread)):
            if isinstance(reply, Question) and reply.answered is None:
                return reply
            if isinstance(reply, Review) and reply.choices:
                return reply
        raise AssertionError("nothing is being asked")


@asynccontextmanager
async def bench(
    home: Path, *, base_models: Sequence[str] = ("tiny-instruct",), places: Sequence[ClusterPlace] = ()
) -> AsyncIterator[Bench]:
    """A fresh home with base models of these names, over fakes that nothing here calls. No vLLM is installed."""
    settings = Settings(home=home, serving_python=home / "no-vllm" / "python")
    await put_database(settings.database_url)
    async with assemble(settings, runs=FakeRuns(), servers=cast(ModelServer, None), places=places) as application:
        world = replace(application.world, machine=MACHINE)
        for name in base_models:
            await add_base_model(world.store, settings.models_folder / name)
        yield Bench(world=world, face=RecordingFace())


async def add_base_model(store: Store, folder: Path, *, template: str = TEMPLATE) -> None:
    """A base model of the catalogue whose folder holds a small tokenizer; weights are not looked at."""
    write_tokenizer(folder, template=template)
    facts = replace(SMALL, name=folder.name, attention_heads=9, key_value_heads=3)
    async with store.transaction() as session:
        session.add(Model(name=folder.name, kind=ModelKind.BASE, source=str(folder), facts=facts.to_json()))


def write_tokenizer(folder: Path, *, template: str) -> None:
    """A tokenizer of single bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def upload(path: Path) -> Upload:
    """A file of this disk as an upload, in pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(4096):
                yield chunk

    return Upload(name=path.name, size_bytes=path.stat().st_size, chunks=chunks())


def write_rows(path: Path, rows: Sequence[dict[str, object] | str]) -> Path:
    """A ``.jsonl`` file; a string is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def identity(path: Path) -> Path:
    """Forty rows with two placeholders."""
    rows: list[dict[str, object]] = [
        {"instruction": f"Who are you, number {place}?", "input": "", "output": "I am {{name}}, made by {{author}}."}
        for place in range(40)
    ]
    return write_rows(path, [*rows])


def support(path: Path, *, bad: int = 3) -> Path:
    """200 good rows, ``bad`` ones without an answer."""
    good: list[dict[str, object] | str] = [
        {"instruction": f"Can I return item {place}?", "input": "", "output": f"Yes, within {place + 1} days."}
        for place in range(200)
    ]
    without: list[dict[str, object] | str] = [
        {"instruction": f"What about {place}?", "output": ""} for place in range(bad)
    ]
    return write_rows(path, [*good, *without])


def labels(choices: Sequence[Choice]) -> list[str]:
    """What buttons say to the eye."""
    return [choice.label for choice in choices]


def has_started(replies: Sequence[Reply]) -> bool:
    """Whether a run's card is among the replies."""
    return any(isinstance(reply, RunCard) for reply in replies)
