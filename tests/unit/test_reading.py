"""What runs write is read by one thread while another deletes runs."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.files import ArtifactFiles
from training.reading import ProgressReader
from training.runs import AttemptId

ATTEMPTS = [AttemptId(f"run-{number}", 1) for number in range(300)]


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_runs_may_be_forgotten_while_others_are_looked_at(tmp_path: Path) -> None:
    reader = ProgressReader(ArtifactFiles(tmp_path))
    reader.read(ATTEMPTS)
    is_done = threading.Event()

    def delete() -> None:
        while not is_done.is_set():
            for attempt in ATTEMPTS[:150]:
                reader.forget(attempt)
            reader.read(ATTEMPTS[:20])

    deleting = threading.Thread(target=delete)
    deleting.start()
    try:
        for _ in range(2000):
            reader.read_some([])
    finally:
        is_done.set()
        deleting.join()
    assert reader.has_begun(ATTEMPTS[-1]) is False
