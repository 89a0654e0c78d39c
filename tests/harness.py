"""The real assistant over a real SQLite database, with fakes behind the two engine ports."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bot.assistant import Assistant
from bot.delivery import Delivery
from bot.replies import Reply
from bot.settings import Settings
from bot.turns import ThreadRef, Turn, Upload
from bot.wiring import Application, assemble
from tests.databases import put_database
from tests.recording import RecordingFace, words
from training.places import ClusterPlace
from training.runs import RunBackend


@dataclass(kw_only=True)
class Harness:
    """One application, and one face that remembers."""

    application: Application
    face: RecordingFace
    _events: Iterable[int] = field(default_factory=count)

    @property
    def assistant(self) -> Assistant:
        return self.application.assistant

    @property
    def delivery(self) -> Delivery:
        return self.application.delivery

    async def say(
        self,
        text: str = "",
        *,
        files: Sequence[Path] = (),
        thread: str = "thread-1",
        about: str | None = None,
        answers: dict[str, str] | None = None,
        language: str = "en",
        event_id: str | None = None,
    ) -> list[Reply]:
        """Say something and return what was newly shown for it, in order (the last state of each message)."""
        before = len(self.face.showings)
        await self.assistant.handle(
            Turn(
                event_id=event_id or f"event-{next(iter(self._events))}",
                thread=ThreadRef(face="test", key=thread),
                text=text,
                about=about,
                answers=answers,
                uploads=tuple(upload(path) for path in files),
                language=language,
            )
        )
        shown = {shown_id: reply for _, shown_id, reply in self.face.showings[before:]}
        return list(shown.values())

    async def converse(self, dialog: Sequence[tuple[str, str]], **where: str) -> None:
        """Hold a dialog, a list of (said, answered): each answer must contain the expected words."""
        for said, answered in dialog:
            replies = await self.say(said, **where)  # type: ignore[arg-type]
            seen = "\n".join(words(reply) for reply in replies)
            assert answered in seen, f"after {said!r} expected {answered!r} in:\n{seen}"


def upload(path: Path) -> Upload:
    """A file of this disk as an upload."""
    content = path.read_bytes()

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return Upload(name=path.name, size_bytes=len(content), chunks=chunks())


@asynccontextmanager
async def harness(
    home: Path, *, backend: RunBackend | None = None, places: Sequence[ClusterPlace] = (), **given: Any
) -> AsyncIterator[Harness]:
    """The application on a home of its own, with FakeModelServer and, unless a ``backend`` is given, FakeRuns."""
    from tests.fake_vllm import FakeModelServer
    from tests.fakes import FakeRuns

    settings = Settings(home=home, **given)
    await put_database(settings.database_url)
    with closing(FakeModelServer()) as servers:
        engine = backend or FakeRuns(settings.artifacts_root)
        async with assemble(settings, runs=engine, servers=servers, places=places) as application:
            face = RecordingFace()
            application.faces["test"] = face
            yield Harness(application=application, face=face)
