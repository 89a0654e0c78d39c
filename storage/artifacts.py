"""Files by key under one root: a folder of this disk or of a shared volume, or ``s3://bucket/prefix``.

A folder is complete when its ``manifest.json``, written last, is there and every file that it names has its size.
This holds on S3 too, which neither renames nor appends. What is to be read as files of this disk is fetched from a
bucket into a cache.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import orjson
from filelock import AsyncFileLock

from storage.artifact_errors import (
    Incomplete,
    NoRoom,
    NotOnThisDisk,
    StoreUnavailable,
    TooLarge,
    local_disk,
    translated,
)
from storage.manifests import (
    MANIFEST,
    delete_path,
    is_complete,
    manifest_entries,
    manifest_of,
    manifest_sizes,
    path_below,
    sha256_of,
)
from storage.stores import local_root, open_store

CHUNK_BYTES = 8 * 1024 * 1024

PATIENCE = timedelta(seconds=5)
"""With a bucket that does not answer: somebody waits, or a loop comes again."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What was kept: its key, and what was counted on the way."""

    key: str
    size_bytes: int
    sha256: str


class Artifacts:
    """All files below ``root``: a folder (absolute path or ``file:///...``), or a bucket (``s3://bucket/prefix``).

    Keys are relative, with slashes; one with ``..`` or an empty part raises a ValueError. Everything that asks a
    bucket may raise StoreUnavailable.
    """

    def __init__(self, root: str | Path, *, cache: Path | None = None) -> None:
        """``cache``: a folder for what :meth:`fetch` brings from a bucket. It may be shared by processes."""
        self.folder = local_root(root)
        """The root where it is a folder."""
        self._cache = cache
        self._store = open_store(root, patience=PATIENCE)

    @property
    def disk(self) -> Path | None:
        """Where on this disk files come to lie: the root's folder, or the cache."""
        return self.folder or self._cache

    def local_path(self, key: str) -> Path:
        """The path of ``key``, whether anything is there or not. Raises NotOnThisDisk."""
        if self.folder is None:
            raise NotOnThisDisk(f"{key} is not on this disk")
        return path_below(self.folder, key)

    async def fetch(self, folder: str) -> Path:
        """A folder as one of this disk, to read from: as it is where the root is a folder, else a whole copy.

        A copy is made once, whoever asks for it, checked against its manifest and seen by nobody before it is whole;
        where it breaks off the next call goes on. Raises Incomplete, NoRoom.
        """
        if self.folder is not None:
            return self.local_path(folder)
        if self._cache is None:
            raise NotOnThisDisk(f"{folder} is not on this disk, and there is no cache")
        copy, partial = self._copy_paths(self._cache, folder)
        if await asyncio.to_thread(is_complete, copy):
            return copy
        with local_disk():
            partial.parent.mkdir(parents=True, exist_ok=True)
            async with AsyncFileLock(_lock_of(partial)):
                if not await asyncio.to_thread(is_complete, copy):
                    await self._make_copy(folder, partial, copy)
        return copy

    async def put(self, key: str, data: bytes) -> None:
        """Write ``data`` whole, in place of what was there."""
        with translated():
            await obstore.put_async(self._store, key, data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None) -> Stored:
        """Write a stream; ``key`` is there when all of it has come, and not before. Raises TooLarge."""
        counter = _Counter(chunks, max_bytes)
        with translated():
            await obstore.put_async(self._store, key, aiter(counter))
        return Stored(key=key, size_bytes=counter.size_bytes, sha256=counter.sha256)

    async def keep_stream(
        self, under: str, name: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        """Keep a stream as the complete folder ``<under>/<sha256>/`` with the one file ``name``.

        The same bytes are kept once, under the name they came with first. Raises TooLarge.
        """
        incoming = f"incoming/{uuid4()}"
        try:
            came = await self.put_stream(incoming, chunks, max_bytes=max_bytes)
            folder = f"{under}/{came.sha256}"
            stored = Stored(key=f"{folder}/{name}", size_bytes=came.size_bytes, sha256=came.sha256)
            if not await self.is_complete(folder):
                with translated():
                    await obstore.rename_async(self._store, incoming, stored.key)
                await self._write_manifest(folder, [stored])
            kept = await self._the_one_file(folder)
        except StoreUnavailable:
            raise  # there is no way to what came, so it cannot be deleted either
        except BaseException:
            await self.delete(incoming)
            raise
        await self.delete(incoming)
        return kept

    async def get(self, key: str) -> bytes:
        """All bytes of a small file. Raises FileNotFoundError."""
        with translated():
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in pieces. Raises FileNotFoundError."""
        with translated():
            async for chunk in (await obstore.get_async(self._store, key)).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    async def is_complete(self, folder: str) -> bool:
        """Whether the folder's manifest is there and all that it names."""
        try:
            wanted = manifest_sizes(await self.get(f"{folder}/{MANIFEST}"))
        except FileNotFoundError:
            return False
        found = await self._sizes_below(folder)
        return all(found.get(f"{folder}/{name}") == size for name, size in wanted.items())

    async def delete(self, key: str) -> None:
        """Delete a file, or a folder with everything below it; what is not there is no error."""
        if self.folder is not None:
            await asyncio.to_thread(delete_path, self.local_path(key))
            return
        below = sorted(await self._sizes_below(key), key=lambda found: found != f"{key}/{MANIFEST}")
        for found in [*below, key]:
            with translated(), suppress(FileNotFoundError):
                await obstore.delete_async(self._store, found)
        if self._cache is not None:
            copy, partial = self._copy_paths(self._cache, key)
            for path in (copy, partial, _lock_of(partial)):
                await asyncio.to_thread(delete_path, path)

    async def size_bytes(self, folder: str) -> int:
        """What a folder takes where files are kept; 0 of one that is not there."""
        return sum((await self._sizes_below(folder)).values())

    async def _sizes_below(self, folder: str) -> dict[str, int]:
        with translated():
            return {item["path"]: item["size"] async for batch in obstore.list(self._store, folder) for item in batch}

    async def _write_manifest(self, folder: str, files: list[Stored]) -> None:
        names = [(file.key.removeprefix(f"{folder}/"), file.size_bytes, file.sha256) for file in files]
        await self.put(f"{folder}/{MANIFEST}", manifest_of(names))

    async def _the_one_file(self, folder: str) -> Stored:
        entry = orjson.loads(await self.get(f"{folder}/{MANIFEST}"))["files"][0]
        return Stored(key=f"{folder}/{entry['name']}", size_bytes=entry["size_bytes"], sha256=entry["sha256"])

    def _copy_paths(self, cache: Path, folder: str) -> tuple[Path, Path]:
        """Where a folder's copy is, and where it is in the making."""
        copy = path_below(cache, folder)
        return copy, cache / "incoming" / folder.replace("/", "-")

    async def _make_copy(self, folder: str, partial: Path, copy: Path) -> None:
        try:
            with local_disk():
                await self._download(folder, partial)
        except (Incomplete, NoRoom):
            # Worth nothing, or in the way of everything else.
            await asyncio.to_thread(delete_path, partial)
            raise
        await asyncio.to_thread(_put_in_place, partial, copy)

    async def _download(self, folder: str, partial: Path) -> None:
        """Bring a folder to ``partial``, its manifest last; files that are there already are kept."""
        try:
            manifest = await self.get(f"{folder}/{MANIFEST}")
            await asyncio.to_thread(_require_room, partial, manifest_sizes(manifest))
            for name, _, digest in manifest_entries(manifest):
                path = path_below(partial, name)
                if not path.is_file() or await asyncio.to_thread(sha256_of, path) != digest:
                    await self._copy_file(f"{folder}/{name}", path, digest)
        except FileNotFoundError as error:
            raise Incomplete(f"{folder} is not complete") from error
        await asyncio.to_thread((partial / MANIFEST).write_bytes, manifest)

    async def _copy_file(self, key: str, path: Path, digest: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        counter = _Counter(self.read(key), None)
        with path.open("wb") as file:
            async for chunk in counter:
                await asyncio.to_thread(file.write, chunk)
        if counter.sha256 != digest:
            raise Incomplete(f"{key} is not what its manifest says")


def _lock_of(partial: Path) -> Path:
    """Held by who makes the copy."""
    return partial.with_name(f"{partial.name}.lock")


def _require_room(partial: Path, wanted: dict[str, int]) -> None:
    """Raise NoRoom before gigabytes are brought in vain."""
    partial.mkdir(parents=True, exist_ok=True)
    present = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    missing_bytes, free_bytes = sum(wanted.values()) - present, shutil.disk_usage(partial).free
    if missing_bytes > free_bytes:
        raise NoRoom(f"{missing_bytes} bytes are missing, {free_bytes} are free")


def _put_in_place(partial: Path, copy: Path) -> None:
    delete_path(copy)  # one that has lost a file
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(copy)


class _Counter:
    """Passes a stream on, and counts and hashes it."""

    def __init__(self, chunks: AsyncIterator[bytes], max_bytes: int | None) -> None:
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size_bytes += len(chunk)
            if self._max_bytes is not None and self.size_bytes > self._max_bytes:
                raise TooLarge(self._max_bytes)
            self._hash.update(chunk)
            yield chunk
