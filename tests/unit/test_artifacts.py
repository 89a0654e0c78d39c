import hashlib
from pathlib import Path

import orjson
import pytest
from obstore.exceptions import GenericError

from storage.artifact_errors import NoRoom, NotOnThisDisk, StoreUnavailable, translated
from storage.artifacts import Artifacts
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST, is_complete, write_manifest
from tests.contracts.artifacts import ArtifactsContract, broken


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def artifacts(root: Path) -> Artifacts:
    return Artifacts(root)


@pytest.fixture
def files(root: Path) -> ArtifactFiles:
    return ArtifactFiles(root)


class TestArtifactsInAFolder(ArtifactsContract):
    """The suite that a bucket passes too."""


def files_below(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


async def test_a_broken_stream_leaves_no_partial_file(artifacts: Artifacts, root: Path) -> None:
    with pytest.raises(ConnectionResetError):
        await artifacts.put_stream("a/b", broken())

    assert files_below(root) == []


def test_a_full_disk_is_told_from_a_store_that_is_away() -> None:
    with pytest.raises(NoRoom, match=r"^Unable to copy: No space left on device"), translated():
        raise GenericError("Unable to copy: No space left on device (os error 28)\n\nDebug source: ...")
    with pytest.raises(StoreUnavailable, match=r"^error sending request$"), translated():
        raise GenericError("error sending request\n\nDebug source: ...")


async def test_a_key_is_a_path_below_the_root(artifacts: Artifacts, root: Path) -> None:
    await artifacts.put("a/训练 数据#1.json", b"1")

    assert artifacts.local_path("a/训练 数据#1.json").read_bytes() == b"1"
    assert await artifacts.fetch("a") == root / "a"


async def test_a_manifest_names_every_file_with_size_and_hash(artifacts: Artifacts) -> None:
    folder = artifacts.local_path("models/m1")
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"123")
    (folder / "deep" / "config").write_bytes(b"")
    assert not is_complete(folder)

    write_manifest(folder)
    write_manifest(folder)

    assert is_complete(folder)
    assert await artifacts.is_complete("models/m1")
    assert orjson.loads((folder / MANIFEST).read_bytes())["files"] == [
        {"name": "deep/config", "size_bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
        {"name": "weights", "size_bytes": 3, "sha256": hashlib.sha256(b"123").hexdigest()},
    ]


def test_a_folder_of_this_disk_is_not_complete_when_a_file_is_short_or_gone(root: Path) -> None:
    (root / "m1").mkdir(parents=True)
    (root / "m1" / "weights").write_bytes(b"123")
    write_manifest(root / "m1")

    (root / "m1" / "weights").write_bytes(b"12")
    assert not is_complete(root / "m1")

    (root / "m1" / "weights").unlink()
    assert not is_complete(root / "m1")
    assert not is_complete(root / "nothing")


async def test_without_a_folder_and_a_cache_nothing_is_on_this_disk() -> None:
    with pytest.raises(NotOnThisDisk):
        Artifacts("memory:///").local_path("a")
    with pytest.raises(NotOnThisDisk):
        await Artifacts("memory:///").fetch("a")
