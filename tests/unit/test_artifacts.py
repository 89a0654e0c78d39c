import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from storage.artifacts import MANIFEST, Artifacts, NotOnThisDisk, TooLarge, is_complete, write_manifest


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken() -> AsyncIterator[bytes]:
    yield b"x" * 20_000_000
    raise ConnectionResetError("the browser went away")


def files_below(artifacts: Artifacts) -> list[str]:
    assert artifacts.folder is not None
    return sorted(path.name for path in artifacts.folder.rglob("*") if path.is_file())


async def test_a_stream_is_kept_and_counted(artifacts: Artifacts) -> None:
    stored = await artifacts.put_stream("a/训练 数据#1.json", chunks(b"one ", b"two"))

    assert (stored.size_bytes, stored.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert artifacts.local_path("a/训练 数据#1.json").read_bytes() == b"one two"
    assert await artifacts.get("a/训练 数据#1.json") == b"one two"
    assert b"".join([part async for part in artifacts.read("a/训练 数据#1.json")]) == b"one two"


async def test_a_broken_stream_leaves_nothing(artifacts: Artifacts) -> None:
    with pytest.raises(ConnectionResetError):
        await artifacts.put_stream("a/b", broken())

    assert files_below(artifacts) == []


async def test_a_stream_that_is_too_long_is_refused_and_not_kept(artifacts: Artifacts) -> None:
    with pytest.raises(TooLarge) as caught:
        await artifacts.keep_stream("datasets", "a.json", chunks(b"123", b"456"), max_bytes=5)

    assert caught.value.limit_bytes == 5
    assert files_below(artifacts) == []


async def test_the_same_bytes_are_kept_once_under_their_hash(artifacts: Artifacts) -> None:
    first = await artifacts.keep_stream("datasets", "first.json", chunks(b"[", b"]"))
    second = await artifacts.keep_stream("datasets", "second.json", chunks(b"[]"))

    assert first == second
    assert first.key == f"datasets/{first.sha256}/first.json"
    assert await artifacts.is_complete(f"datasets/{first.sha256}")
    assert files_below(artifacts) == ["first.json", MANIFEST]


async def test_a_folder_that_was_left_half_kept_is_made_complete(artifacts: Artifacts) -> None:
    digest = hashlib.sha256(b"[]").hexdigest()
    await artifacts.put(f"datasets/{digest}/a.json", b"[]")
    assert not await artifacts.is_complete(f"datasets/{digest}")

    stored = await artifacts.keep_stream("datasets", "a.json", chunks(b"[]"))

    assert await artifacts.is_complete(f"datasets/{digest}")
    assert await artifacts.get(stored.key) == b"[]"


async def test_delete_takes_files_and_folders_and_what_is_not_there(artifacts: Artifacts) -> None:
    await artifacts.put("a/b/c", b"1")
    await artifacts.put("a/bb", b"2")

    await artifacts.delete("a/b")
    await artifacts.delete("a/b")
    assert files_below(artifacts) == ["bb"]

    await artifacts.delete("a/bb")
    assert files_below(artifacts) == []


@pytest.mark.parametrize("key", ["../x", "a/../x", "a//b", "/a"])
def test_a_key_cannot_leave_the_root(artifacts: Artifacts, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        artifacts.local_path(key)


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


async def test_a_folder_is_not_complete_when_a_file_is_short_or_gone(artifacts: Artifacts) -> None:
    folder = artifacts.local_path("models/m1")
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"123")
    write_manifest(folder)

    (folder / "weights").write_bytes(b"12")
    assert not is_complete(folder)
    assert not await artifacts.is_complete("models/m1")

    (folder / "weights").unlink()
    assert not is_complete(folder)
    assert not await artifacts.is_complete("models/m1")
    assert not is_complete(folder / "nothing")


def test_a_key_in_a_bucket_has_no_path() -> None:
    with pytest.raises(NotOnThisDisk):
        Artifacts("memory:///").local_path("a")
