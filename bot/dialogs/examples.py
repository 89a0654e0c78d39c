"""The example data that comes with Tunesmith: a data set like any other, taken in when it is first asked for."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import select

import training.datasets
from bot.context import Context, NeedsWork
from bot.ingest import ingest
from bot.turns import Upload
from bot.world import World
from storage.models import DatasetVersion

EXAMPLE = "@example"

FOLDER = Path(training.datasets.__file__).parent / "examples"


def example_file() -> Path:
    """The one file of the example."""
    return next(path for path in sorted(FOLDER.iterdir()) if path.suffix in {".json", ".jsonl"})


async def example_version(context: Context) -> str:
    """The stored version of the example. Raises NeedsWork where it is to be taken in first."""
    sha256 = hashlib.sha256(example_file().read_bytes()).hexdigest()
    version_id = await context.session.scalar(
        select(DatasetVersion.id).where(DatasetVersion.sha256 == sha256).order_by(DatasetVersion.created_at).limit(1)
    )
    if version_id is None:
        raise NeedsWork(_take_in)
    return version_id


async def _take_in(world: World) -> None:
    path = example_file()
    content = path.read_bytes()

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await ingest(world, Upload(name=path.name, size_bytes=len(content), chunks=chunks()))
