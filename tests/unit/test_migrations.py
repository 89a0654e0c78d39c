import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import ForeignKeyConstraint

from storage import migrations
from storage.models import Base

VALUES: dict[str, object] = {
    "INTEGER": 1,
    "BIGINT": 1,
    "FLOAT": 0.5,
    "BOOLEAN": 1,
    "JSON": "{}",
    "DATETIME": "2026-01-01",
}
"""By type; text is ``x``."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'tunesmith.db'}"


async def test_upgrade_makes_what_the_models_say(url: str) -> None:
    await migrations.upgrade(url)

    await migrations.check(url)
    assert await migrations.find_revision(url) == migrations.newest_revision()


async def test_upgrade_again_changes_nothing(url: str, tmp_path: Path) -> None:
    await migrations.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "tunesmith.db")) as database, database:
        database.execute("insert into users values ('1', 'local', '{}', '2026-01-01')")

    await migrations.upgrade(url)

    with closing(sqlite3.connect(tmp_path / "tunesmith.db")) as database:
        assert database.execute("select name from users").fetchall() == [("local",)]


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
async def test_an_upgrade_keeps_every_row_and_what_it_refers_to(url: str, tmp_path: Path, revision: str) -> None:
    await migrations.upgrade(url, revision)
    with closing(sqlite3.connect(tmp_path / "tunesmith.db")) as database:
        before = fill(database)

    await migrations.upgrade(url)

    with closing(sqlite3.connect(tmp_path / "tunesmith.db")) as database:
        database.row_factory = sqlite3.Row
        for table, row in before.items():
            (found,) = database.execute(f"select * from {table}").fetchall()
            assert {name: found[name] for name in row} == row
        assert database.execute("pragma foreign_key_check").fetchall() == []


def fill(database: sqlite3.Connection) -> dict[str, dict[str, object]]:
    """Put a row into every table, each with a reference wherever it can have one; returns them by table."""
    rows: dict[str, dict[str, object]] = {}
    query = "select name from sqlite_master where type = 'table' and name != 'alembic_version'"
    for (table,) in database.execute(query).fetchall():
        referring = {column[3] for column in database.execute(f"pragma foreign_key_list({table})")}
        rows[table] = {
            name: "1" if name == "id" or name in referring else VALUES.get(kind.partition("(")[0], "x")
            for _, name, kind, *_ in database.execute(f"pragma table_info({table})")
        }
        places = ", ".join("?" * len(rows[table]))
        names = ", ".join(rows[table])
        database.execute(f"insert into {table} ({names}) values ({places})", list(rows[table].values()))
    database.commit()
    return rows


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
