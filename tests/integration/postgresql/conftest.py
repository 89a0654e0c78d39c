"""One PostgreSQL server for all tests here, and for each a database of its own that the settings name."""

import asyncio
from collections.abc import Iterator

import pytest

from storage.migrations import upgrade
from tests.postgresql import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session")
def template(server: PostgresServer) -> str:
    """The name of a database that is up to date and empty: a copy is made sooner than its tables."""
    url = server.new_database()
    asyncio.run(upgrade(url))
    return url.rpartition("/")[2]


@pytest.fixture(autouse=True)
def url(server: PostgresServer, template: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a database up to date, which whoever reads the settings in this test uses."""
    made = server.new_database(template=template)
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", made)
    return made
