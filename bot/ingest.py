"""A file that came with a turn becomes a checked, stored data set version, before the turn's transaction."""

from dataclasses import dataclass

from bot.turns import Upload
from bot.world import World


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """A file that was taken in: a stored version, or the reason why it was refused."""

    file_name: str
    version_id: str | None = None
    error_code: str | None = None
    """``training.datasets.DatasetError.code``, when the whole file is refused; nothing of it is kept."""
    error_values: tuple[tuple[str, str | int], ...] = ()


async def ingest(world: World, upload: Upload) -> Ingested:
    """Store ``upload`` under its content's hash and check it; the same content again is the same version."""
    raise NotImplementedError
