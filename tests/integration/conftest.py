"""A real S3 server for each file that wants one, and for each test a bucket of its own."""

from collections.abc import Iterator

import pytest

from storage.files import ArtifactFiles
from tests.s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture
def bucket_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix in an empty bucket, whose keys are in the environment."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.new_bucket()}/team/tunesmith"


@pytest.fixture
def rooted_bucket(bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> ArtifactFiles:
    """The artifact root of what a test builds."""
    monkeypatch.setenv("TUNESMITH_ARTIFACTS_ROOT", bucket_url)
    monkeypatch.setenv("TUNESMITH_RUNS", "kubernetes")
    return ArtifactFiles(bucket_url)
