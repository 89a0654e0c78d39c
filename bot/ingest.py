"""A file that came with a turn becomes a checked, stored data set version, before the turn's transaction."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.names import bare_file_name
from bot.turns import Upload, UploadBroken
from bot.world import World
from storage.artifact_errors import NoRoom, StoreUnavailable, TooLarge
from storage.artifacts import Stored
from storage.models import Dataset, DatasetVersion, new_id
from training.datasets import DatasetError, DatasetReport, Problem, check, suggest_name
from training.datasets.names import FALLBACK

log = structlog.get_logger(__name__)

PROBLEMS_SAID = 5

SPARE_BYTES = 200_000_000
"""What must stay free on the disk after an upload."""


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """A file that was taken in: a stored version, or the reason why it was refused."""

    file_name: str
    version_id: str | None = None
    error: str | None = None
    """The id of the sentence that says why the whole file is refused; nothing of it is kept."""
    error_values: tuple[tuple[str, str | int], ...] = ()
    problems: tuple[Problem, ...] = ()
    """The first problems of a file without a single good row."""


async def ingest(world: World, upload: Upload) -> Ingested:
    """Store ``upload`` under its content's hash and check it; the same content again is the same version."""
    name = bare_file_name(upload.name) or "data"
    try:
        _require_room(world, upload.size_bytes or 0)
        stored = await _store(world, name, upload)
        return await _check(world, name, stored)
    except NoRoom:
        return Ingested(file_name=name, error="upload.no_room")
    except StoreUnavailable as error:
        log.warning("upload.not_stored", error=str(error))
        return Ingested(file_name=name, error="artifact_error.unavailable", error_values=(("detail", str(error)),))
    except DatasetError as error:
        log.info("dataset.refused", code=error.code)
        return Ingested(file_name=name, error=f"dataset_error.{error.code}", error_values=tuple(error.params.items()))
    except _Refused as refused:
        log.info("upload.refused", code=refused.code)
        return Ingested(file_name=name, error=refused.code, error_values=refused.values, problems=refused.problems)


class _Refused(Exception):
    def __init__(self, code: str, *, problems: tuple[Problem, ...] = (), **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.values = tuple(values.items())
        self.problems = problems[:PROBLEMS_SAID]


def _require_room(world: World, size_bytes: int) -> None:
    limit = world.settings.max_upload_bytes
    if size_bytes > limit:
        raise _Refused("upload.too_large", limit_bytes=limit)
    # What goes to a bucket comes back to this disk to be checked.
    folder = world.artifacts.disk or world.settings.home
    while not folder.exists():
        folder = folder.parent
    if shutil.disk_usage(folder).free < size_bytes + SPARE_BYTES:
        raise _Refused("upload.no_room")


async def _store(world: World, name: str, upload: Upload) -> Stored:
    limit = world.settings.max_upload_bytes
    try:
        return await world.artifacts.keep_stream("datasets", _stored_name(name), upload.chunks, max_bytes=limit)
    except TooLarge as error:
        raise _Refused("upload.too_large", limit_bytes=error.limit_bytes) from error
    except UploadBroken as broken:
        raise _Refused(broken.code, problems=(), **broken.values) from broken


def _stored_name(name: str) -> str:
    """A fixed name: what people call their files is kept in the database alone."""
    return "data" + (".json" if PurePosixPath(name).suffix.lower() == ".json" else ".jsonl")


async def _check(world: World, name: str, stored: Stored) -> Ingested:
    async with world.store.reading() as session:
        known = await session.scalar(
            select(DatasetVersion).where(DatasetVersion.sha256 == stored.sha256, DatasetVersion.file_name == name)
        )
    if known:
        return Ingested(file_name=name, version_id=known.id)
    folder, _, file = stored.key.rpartition("/")
    try:
        path = await world.artifacts.fetch(folder) / file
        report = await asyncio.to_thread(check, path, name=name)
        if not report.rows:
            raise _Refused("upload.no_good_rows", n=report.bad_rows, problems=report.problems)
    except (DatasetError, _Refused):
        await _forget(world, folder)
        raise
    async with world.store.transaction() as session:
        version = await _note_version(session, name, stored, report)
    log.info("dataset.stored", version=version.id, rows=report.rows, bad_rows=report.bad_rows, bytes=stored.size_bytes)
    return Ingested(file_name=name, version_id=version.id)


async def _forget(world: World, folder: str) -> None:
    async with world.store.reading() as session:
        is_used = await session.scalar(select(DatasetVersion.id).where(DatasetVersion.artifact == folder).limit(1))
    if not is_used:
        await world.artifacts.delete(folder)


async def _note_version(session: AsyncSession, name: str, stored: Stored, report: DatasetReport) -> DatasetVersion:
    dataset = await _open_dataset(session, name)
    version = await session.scalar(
        select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id, DatasetVersion.sha256 == stored.sha256)
    )
    if version is None:
        version = DatasetVersion(
            id=new_id(),
            dataset_id=dataset.id,
            sha256=stored.sha256,
            file_name=name,
            size_bytes=stored.size_bytes,
            artifact=stored.key.rpartition("/")[0],
            report=report.to_json(),
        )
        session.add(version)
        await session.flush()
    return version


async def _open_dataset(session: AsyncSession, file_name: str) -> Dataset:
    """The data set that a file belongs to: the one that a file of this name went to, else by the cleaned name."""
    known = await session.scalar(
        select(Dataset)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(DatasetVersion.file_name == file_name)
        .order_by(DatasetVersion.created_at.desc())
        .limit(1)
    )
    if known:
        return known
    name = suggest_name(file_name)
    if name == FALLBACK:
        # A name without a single Latin letter says nothing once it is cleaned: each such file is a data set of its own.
        name = suggest_name(file_name, set(await session.scalars(select(Dataset.name))))
    dataset = await session.scalar(select(Dataset).where(Dataset.name == name))
    if dataset is None:
        dataset = Dataset(id=new_id(), name=name)
        session.add(dataset)
        await session.flush()
    return dataset
