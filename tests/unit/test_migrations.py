import io
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import ForeignKeyConstraint

from storage import migrations
from storage.models import Base


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'tunesmith.db'}"


async def test_upgrade_makes_what_the_models_say(url: str) -> None:
    await migrations.upgrade(url)

    await migrations.check(url)
    assert await migrations.find_revision(url) == migrations.newest_revision()


async def test_upgrade_again_changes_nothing(url: str, tmp_path: Path) -> None:
    await migrations.upgrade(url)
    with sqlite3.connect(tmp_path / "tunesmith.db") as database:
        database.execute("insert into users values ('1', 'local', '{}', '2026-01-01')")

    await migrations.upgrade(url)

    with sqlite3.connect(tmp_path / "tunesmith.db") as database:
        assert database.execute("select name from users").fetchall() == [("local",)]


async def test_an_empty_database_has_no_revision(url: str) -> None:
    assert await migrations.find_revision(url) is None


def test_postgresql_gets_every_table_and_foreign_key() -> None:
    script = io.StringIO()
    configuration = migrations.config()
    configuration.output_buffer = script
    configuration.attributes["dialect"] = "postgresql"

    command.upgrade(configuration, "head", sql=True)

    text = script.getvalue()
    for table in Base.metadata.tables.values():
        assert f"CREATE TABLE {table.name} " in text
        for constraint in table.constraints:
            if isinstance(constraint, ForeignKeyConstraint):
                assert text.count(f"CONSTRAINT {constraint.name} FOREIGN KEY") == 1
    assert "TIMESTAMP WITH TIME ZONE" in text
    assert "CREATE TYPE" not in text
