"""Artifacts in a bucket of a real S3 server: the same as in a folder, and fetched whole or not at all."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.artifact_errors import Incomplete, NoRoom, StoreUnavailable
from storage.artifacts import Artifacts
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST, is_complete, manifest_of
from tests.contracts.artifacts import ArtifactsContract, chunks
from tests.s3_server import S3Server

LARGE_BYTES = 200_000_000
MOST_MEMORY_BYTES = 100_000_000
"""What a large file may add to a process: a dozen parts of it are on their way at once."""
KILLED_AT_BYTES = 30_000_000

PEAK = """
import re
def peak():
    kilobytes, = re.findall(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())
    return int(kilobytes) * 1024
"""

DIES = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, ({KILLED_AT_BYTES}, {KILLED_AT_BYTES}))
"""
"""The kernel kills the process in the middle of a write, always in the same place."""

FETCH = f"""{PEAK}
import asyncio, sys
from pathlib import Path
from storage.artifacts import Artifacts

artifacts = Artifacts(sys.argv[1], cache=Path(sys.argv[2]))
before = peak()
asyncio.run(artifacts.fetch("models/m1"))
print(peak() - before)
"""

KEEP = f"""{PEAK}
import asyncio, os, sys
from storage.artifacts import Artifacts

async def chunks():
    for _ in range(int(sys.argv[2]) // 1_000_000):
        yield bytes(1_000_000)

artifacts = Artifacts(sys.argv[1])
before = peak()
stored = asyncio.run(artifacts.keep_stream("datasets", "a.json", chunks()))
assert stored.size_bytes == int(sys.argv[2])
print(peak() - before, flush=True)
os._exit(0)
"""
"""It leaves at once: the store's threads may still hold the stream, and then Python's own end is an abort."""


@pytest.fixture
def root(bucket_url: str) -> str:
    """A prefix in a fresh bucket."""
    return bucket_url


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def artifacts(root: str, cache: Path) -> Artifacts:
    return Artifacts(root, cache=cache)


@pytest.fixture
def files(root: str) -> ArtifactFiles:
    return ArtifactFiles(root)


class TestArtifactsInABucket(ArtifactsContract):
    """The suite that a folder passes too."""


async def put_model(artifacts: Artifacts, **contents: bytes) -> None:
    for name, content in contents.items():
        await artifacts.put(f"models/m1/{name}", content)
    await artifacts.put(f"models/m1/{MANIFEST}", manifest(**contents))


def manifest(**contents: bytes) -> bytes:
    return manifest_of([(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()])


def put_large_model(files: ArtifactFiles, folder: Path) -> Path:
    """``config`` and a large ``weights``, with their manifest."""
    folder.mkdir()
    (folder / "config").write_bytes(b"{}")
    with (folder / "weights").open("wb") as weights:
        for number in range(LARGE_BYTES // 1_000_000):
            weights.write(number.to_bytes(4, "big") * 250_000)
    files.keep_folder(folder, "models/m1")
    return folder


def found_below(cache: Path) -> list[str]:
    paths = sorted(cache.rglob("*"))
    return [path.relative_to(cache).as_posix() for path in paths if path.is_file() and path.suffix != ".lock"]


async def test_a_fetched_folder_is_kept_and_needs_no_bucket_any_more(
    artifacts: Artifacts, cache: Path, s3: S3Server
) -> None:
    await put_model(artifacts, config=b"{}", weights=b"123")

    folder = await artifacts.fetch("models/m1")

    assert folder == cache / "models" / "m1"
    assert is_complete(folder)
    assert found_below(cache) == ["models/m1/config", "models/m1/manifest.json", "models/m1/weights"]
    s3.stop()
    try:
        assert await artifacts.fetch("models/m1") == folder
    finally:
        s3.start()


@pytest.mark.parametrize("lost", ["manifest.json", "weights"])
async def test_a_folder_that_is_not_whole_is_not_fetched(artifacts: Artifacts, cache: Path, lost: str) -> None:
    await put_model(artifacts, config=b"{}", weights=b"123")
    await artifacts.delete(f"models/m1/{lost}")

    with pytest.raises(Incomplete, match="models/m1 is not complete"):
        await artifacts.fetch("models/m1")

    assert found_below(cache) == []
    await put_model(artifacts, config=b"{}", weights=b"123")
    assert is_complete(await artifacts.fetch("models/m1"))


@pytest.mark.parametrize("content", [b"124", b"1234", b""])
async def test_a_file_that_is_not_what_the_manifest_says_is_refused(
    artifacts: Artifacts, cache: Path, content: bytes
) -> None:
    await put_model(artifacts, config=b"{}", weights=b"123")
    await artifacts.put("models/m1/weights", content)

    with pytest.raises(Incomplete, match="models/m1/weights is not what its manifest says"):
        await artifacts.fetch("models/m1")

    assert found_below(cache) == []


async def test_a_manifest_cannot_write_outside_the_cache(artifacts: Artifacts, tmp_path: Path) -> None:
    await artifacts.put(f"models/m1/{MANIFEST}", manifest_of([("../../../escaped", 1, "0" * 64)]))

    with pytest.raises(ValueError, match="no key"):
        await artifacts.fetch("models/m1")

    assert not [path for path in found_below(tmp_path) if "escaped" in path]


async def test_many_who_want_a_folder_wait_for_one_download(
    artifacts: Artifacts, root: str, cache: Path, s3: S3Server
) -> None:
    content = bytes(3_000_000)
    await put_model(artifacts, wanted_by_many=content)
    # As another process of the same home would have it.
    other = Artifacts(root, cache=cache)

    folders = await asyncio.gather(*(each.fetch("models/m1") for each in (artifacts, other) * 4))

    assert set(folders) == {cache / "models" / "m1"}
    assert (folders[0] / "wanted_by_many").read_bytes() == content
    assert s3.reads("wanted_by_many") == 1


async def test_a_copy_that_lost_a_file_is_fetched_again(artifacts: Artifacts) -> None:
    await put_model(artifacts, config=b"{}", weights=b"123")
    folder = await artifacts.fetch("models/m1")
    (folder / "weights").unlink()

    assert is_complete(await artifacts.fetch("models/m1"))
    assert (folder / "weights").read_bytes() == b"123"


async def test_what_is_deleted_leaves_the_cache_too(artifacts: Artifacts, cache: Path) -> None:
    await put_model(artifacts, config=b"{}")
    await artifacts.fetch("models/m1")

    await artifacts.delete("models/m1")

    assert found_below(cache) == []
    with pytest.raises(Incomplete):
        await artifacts.fetch("models/m1")


async def test_a_full_disk_is_said_and_nothing_is_left_on_it(artifacts: Artifacts, cache: Path) -> None:
    await put_model(artifacts, config=b"{}", weights=b"123")
    partial = cache / "incoming" / "models-m1"
    partial.mkdir(parents=True)
    (partial / "weights").symlink_to("/dev/full")

    with pytest.raises(NoRoom, match="No space left on device"):
        await artifacts.fetch("models/m1")

    assert found_below(cache) == []
    assert not partial.exists()
    assert is_complete(await artifacts.fetch("models/m1"))


async def test_what_the_disk_cannot_hold_is_not_begun(artifacts: Artifacts, cache: Path, s3: S3Server) -> None:
    await artifacts.put("models/m1/much_too_large", b"1")
    await artifacts.put(f"models/m1/{MANIFEST}", manifest_of([("much_too_large", 2**60, "0" * 64)]))

    with pytest.raises(NoRoom, match="bytes are missing"):
        await artifacts.fetch("models/m1")

    assert s3.reads("much_too_large") == 0
    assert found_below(cache) == []


async def test_a_bucket_that_cannot_be_reached_is_said(artifacts: Artifacts, s3: S3Server) -> None:
    await put_model(artifacts, config=b"{}")
    s3.stop()
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await artifacts.fetch("models/m1")
    finally:
        s3.start()

    assert "\n" not in str(caught.value)
    assert is_complete(await artifacts.fetch("models/m1"))


async def test_wrong_keys_are_said(root: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-one")

    with pytest.raises(StoreUnavailable, match="403") as caught:
        await Artifacts(root, cache=cache).keep_stream("datasets", "a.json", chunks(b"[]"))

    assert "another-one" not in str(caught.value)


async def test_killed_in_the_middle_it_goes_on_where_it_was(
    artifacts: Artifacts, files: ArtifactFiles, root: str, cache: Path, tmp_path: Path, s3: S3Server
) -> None:
    model = put_large_model(files, tmp_path / "model")
    before = s3.reads("/m1/config")

    fetching = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES + FETCH, root, str(cache))

    assert await fetching.wait() == -signal.SIGXFSZ
    partial = cache / "incoming" / "models-m1" / "weights"
    assert 0 < partial.stat().st_size <= KILLED_AT_BYTES
    assert not (cache / "models" / "m1").exists()

    folder = await artifacts.fetch("models/m1")

    assert (folder / "weights").read_bytes() == (model / "weights").read_bytes()
    assert found_below(cache) == ["models/m1/config", "models/m1/manifest.json", "models/m1/weights"]
    assert s3.reads("/m1/config") - before == 1


def test_a_large_file_takes_little_memory(files: ArtifactFiles, root: str, cache: Path, tmp_path: Path) -> None:
    put_large_model(files, tmp_path / "model")

    fetched = subprocess.check_output([sys.executable, "-c", FETCH, root, str(cache)])
    kept = subprocess.check_output([sys.executable, "-c", KEEP, root, str(LARGE_BYTES)])

    assert 0 < int(fetched) < MOST_MEMORY_BYTES
    assert 0 < int(kept) < MOST_MEMORY_BYTES
