"""What artifacts do, whatever their root: a folder and a bucket pass the same suite."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from storage.artifact_errors import TooLarge
from storage.artifacts import Artifacts
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST, manifest_of

LARGE = b"x" * 20_000_000
"""More than goes in one request."""


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken() -> AsyncIterator[bytes]:
    yield LARGE
    raise ConnectionResetError("the browser went away")


class ArtifactsContract:
    """Subclass it with fixtures ``artifacts`` and ``files``, on one fresh root."""

    async def test_a_stream_is_kept_and_counted(self, artifacts: Artifacts) -> None:
        stored = await artifacts.put_stream("a/训练 数据#1.json", chunks(b"one ", b"two"))

        assert (stored.size_bytes, stored.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
        assert await artifacts.get("a/训练 数据#1.json") == b"one two"
        assert b"".join([part async for part in artifacts.read("a/训练 数据#1.json")]) == b"one two"

    async def test_a_large_stream_is_kept_in_one_piece(self, artifacts: Artifacts) -> None:
        stored = await artifacts.keep_stream("datasets", "a.json", chunks(LARGE, b"end"))

        assert stored.size_bytes == len(LARGE) + 3
        assert await artifacts.get(stored.key) == LARGE + b"end"

    async def test_a_broken_stream_leaves_nothing(self, artifacts: Artifacts, files: ArtifactFiles) -> None:
        with pytest.raises(ConnectionResetError):
            await artifacts.put_stream("a/b", broken())
        with pytest.raises(ConnectionResetError):
            await artifacts.keep_stream("datasets", "a.json", broken())

        assert files.sizes("a") == files.sizes("datasets") == files.sizes("incoming") == {}

    async def test_a_stream_that_is_too_long_is_refused_and_not_kept(
        self, artifacts: Artifacts, files: ArtifactFiles
    ) -> None:
        with pytest.raises(TooLarge) as caught:
            await artifacts.keep_stream("datasets", "a.json", chunks(b"123", b"456"), max_bytes=5)

        assert caught.value.limit_bytes == 5
        assert files.sizes("datasets") == files.sizes("incoming") == {}

    async def test_the_same_bytes_are_kept_once_under_their_hash(
        self, artifacts: Artifacts, files: ArtifactFiles
    ) -> None:
        first = await artifacts.keep_stream("datasets", "first.json", chunks(b"[", b"]"))
        second = await artifacts.keep_stream("datasets", "second.json", chunks(b"[]"))

        assert first == second
        folder = f"datasets/{first.sha256}"
        assert first.key == f"{folder}/first.json"
        assert await artifacts.is_complete(folder)
        assert sorted(files.sizes("datasets")) == [f"{folder}/first.json", f"{folder}/{MANIFEST}"]
        assert files.sizes("incoming") == {}

    async def test_a_folder_that_was_left_half_kept_is_made_complete(self, artifacts: Artifacts) -> None:
        digest = hashlib.sha256(b"[]").hexdigest()
        await artifacts.put(f"datasets/{digest}/a.json", b"[]")
        assert not await artifacts.is_complete(f"datasets/{digest}")

        stored = await artifacts.keep_stream("datasets", "a.json", chunks(b"[]"))

        assert await artifacts.is_complete(f"datasets/{digest}")
        assert await artifacts.get(stored.key) == b"[]"

    async def test_delete_takes_files_and_folders_and_what_is_not_there(
        self, artifacts: Artifacts, files: ArtifactFiles
    ) -> None:
        await artifacts.put("a/b/c", b"1")
        await artifacts.put("a/bb", b"2")

        await artifacts.delete("a/b")
        await artifacts.delete("a/b")
        assert list(files.sizes("a")) == ["a/bb"]

        await artifacts.delete("a/bb")
        assert files.sizes("a") == {}

    async def test_a_file_that_is_not_there_is_not_found(self, artifacts: Artifacts) -> None:
        with pytest.raises(FileNotFoundError):
            await artifacts.get("a/b")
        with pytest.raises(FileNotFoundError):
            await anext(artifacts.read("a/b"))

    async def test_a_folder_is_not_complete_when_a_file_is_short_or_gone(self, artifacts: Artifacts) -> None:
        digest = hashlib.sha256(b"123").hexdigest()
        await artifacts.put("models/m1/weights", b"123")
        assert not await artifacts.is_complete("models/m1")

        await artifacts.put(f"models/m1/{MANIFEST}", manifest_of([("weights", 3, digest)]))
        assert await artifacts.is_complete("models/m1")

        await artifacts.put("models/m1/weights", b"12")
        assert not await artifacts.is_complete("models/m1")

        await artifacts.delete("models/m1/weights")
        assert not await artifacts.is_complete("models/m1")

    async def test_a_fetched_folder_is_read_as_files(self, artifacts: Artifacts) -> None:
        stored = await artifacts.keep_stream("datasets", "a.json", chunks(b"[]"))

        folder = await artifacts.fetch(f"datasets/{stored.sha256}")

        assert (folder / "a.json").read_bytes() == b"[]"
        assert await artifacts.fetch(f"datasets/{stored.sha256}") == folder

    @pytest.mark.parametrize("key", ["../x", "a/../x", "a//b", "/a"])
    async def test_a_key_cannot_leave_the_root(self, artifacts: Artifacts, key: str) -> None:
        with pytest.raises(ValueError, match="no key"):
            await artifacts.fetch(key)
