"""What a plan is made from: token counts, sample rows and questions of a data set, for one base model and its fills.

Reading and counting a large file takes a while, so it is done once, outside any transaction, and kept as a row.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import orjson
import structlog
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import NeedsWork
from bot.replies import Segment
from bot.world import World
from storage.models import DatasetStatistics, DatasetVersion, Model
from training.datasets import (
    DatasetError,
    DatasetReport,
    PreviewPiece,
    TokenStatistics,
    comparison_questions,
    kept,
    measure,
    preview,
    samples,
)
from training.tokens import ChatTokenizer, TokenizerError

log = structlog.get_logger(__name__)

LONGEST_SAMPLE = 700
"""Characters of a sample row that are kept and shown."""

_LOCKS: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
"""One a count that is under way."""

Samples = tuple[tuple[Segment, ...], ...]
_SAMPLES: TypeAdapter[Samples] = TypeAdapter(Samples)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A data set as one base model sees it."""

    tokens: TokenStatistics
    samples: Samples
    questions: tuple[str, ...]
    """What base and tuned model can both be asked at the end."""


class Uncountable(Exception):
    """The base model's tokenizer or template cannot be used with this data: the sentence's id and its values."""

    def __init__(self, message_id: str, values: Mapping[str, Any]) -> None:
        super().__init__(message_id)
        self.message_id = message_id
        self.values = values


def kept_literally(name: str) -> str:
    """The placeholder ``name`` as it stands in the data."""
    return "{{" + name + "}}"


async def find_counted(
    session: AsyncSession, version: DatasetVersion, model: Model, fills: Mapping[str, str]
) -> Counted:
    """The stored counts; placeholders without a fill are counted as they stand.

    Raises NeedsWork where nothing is stored yet, Uncountable where counting failed (the next look tries again).
    """
    key = fingerprint(model, fills)
    row = await session.get(DatasetStatistics, (version.id, key))
    if row is None:
        raise NeedsWork(_Count(version_id=version.id, model_id=model.id, fills=dict(fills), key=key))
    found = row.statistics
    if "error" in found:
        await session.delete(row)
        raise Uncountable(found["error"], found["values"])
    return Counted(
        tokens=TokenStatistics.from_json(found["tokens"]),
        samples=_SAMPLES.validate_python(found["samples"]),
        questions=tuple(found["questions"]),
    )


def fingerprint(model: Model, fills: Mapping[str, str]) -> str:
    """Equal for what is counted alike: the checkpoint with its template, and the fills."""
    parts = [model.id, model.facts.get("template_sha256"), sorted(fills.items())]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class _Count:
    """The slow work: read the file, tokenise every row, keep the result."""

    version_id: str
    model_id: str
    fills: Mapping[str, str]
    key: str

    async def __call__(self, world: World) -> None:
        # Many threads may wait for the same counts: the first one counts for all.
        lock = _LOCKS.setdefault((self.version_id, self.key), asyncio.Lock())
        async with lock:
            async with world.store.reading() as session:
                is_done = await session.get(DatasetStatistics, (self.version_id, self.key)) is not None
            if not is_done:
                await self._count(world)

    async def _count(self, world: World) -> None:
        async with world.store.reading() as session:
            version = await session.get_one(DatasetVersion, self.version_id)
            model = await session.get_one(Model, self.model_id)
        report = DatasetReport.from_json(version.report)
        path = data_file(await world.artifacts.fetch(version.artifact))
        checkpoint = await world.folder_of(model)
        try:
            result = await asyncio.to_thread(_count, path, report, checkpoint, model.name, self.fills)
        except (TokenizerError, DatasetError) as error:
            prefix = "tokenizer_error" if isinstance(error, TokenizerError) else "dataset_error"
            log.info("dataset.uncountable", version=version.id, model=model.id, code=error.code)
            result = {"error": f"{prefix}.{error.code}", "values": dict(error.params)}
        async with world.store.transaction() as session:
            await session.merge(DatasetStatistics(version_id=version.id, fingerprint=self.key, statistics=result))


def data_file(folder: Path) -> Path:
    """The one file of a data set version's folder."""
    return next(path for path in sorted(folder.iterdir()) if path.name != "manifest.json")


def _count(
    path: Path, report: DatasetReport, checkpoint: Path, model_name: str, fills: Mapping[str, str]
) -> dict[str, Any]:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint, name=model_name)
    filled = kept(report.placeholders) | dict(fills)
    shown = [_shortened(preview(row, tokenizer, cutoff_length=None)) for row in samples(path, report, filled)]
    return {
        "tokens": measure(path, report, tokenizer, fills=filled).to_json(),
        "samples": _SAMPLES.dump_python(tuple(shown), mode="json"),
        "questions": list(comparison_questions(path, report, filled)),
    }


def _shortened(pieces: tuple[PreviewPiece, ...]) -> tuple[Segment, ...]:
    """The first LONGEST_SAMPLE characters of a row, and the sign that there is more."""
    segments = []
    room = LONGEST_SAMPLE
    for text, is_learned in pieces:
        if room <= 0:
            break
        shown = text if len(text) <= room else text[:room] + " …"
        segments.append(Segment(text=shown, is_learned=is_learned))
        room -= len(text)
    return tuple(segments)
