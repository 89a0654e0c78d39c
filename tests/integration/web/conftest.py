"""One running site a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web_site import Web, running_site


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    async with running_site(tmp_path, monkeypatch) as web:
        yield web
