"""Write a new migration from the difference between the models and the newest revision."""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command

from storage import migrations
from storage.store import create_engine


async def write(message: str) -> None:
    """A new file in ``versions/``, numbered after the newest."""
    number = len(list((migrations.FOLDER / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'empty.db'}"
        await migrations.upgrade(url)
        engine = create_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(
                lambda found: command.revision(
                    migrations.config(found), message, autogenerate=True, rev_id=f"{number:04d}"
                )
            )
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(write(" ".join(sys.argv[1:])))
