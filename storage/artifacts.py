"""Files by key under one root: a folder of this disk or of a shared volume, or ``s3://bucket/prefix``.

A folder is complete when its ``manifest.json``, written last, is there and every file that it names has its size.
This holds on S3 too, which neither renames nor appends. The trainer uses the plain functions at the end of this file.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import obstore
import orjson
from obstore.store import LocalStore, ObjectStore, from_url

MANIFEST = "manifest.json"


class ArtifactError(Exception):
    """An artifact could not be kept or read."""


class TooLarge(ArtifactError):
    """A stream was longer than allowed; nothing of it is kept."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class NotOnThisDisk(ArtifactError):
    """The root is not a folder, so a key has no path."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What was kept: its key, and what was counted on the way."""

    key: str
    size_bytes: int
    sha256: str


class Artifacts:
    """All files below ``root``: a folder (absolute path or ``file:///...``), or another URL that obstore knows.

    Keys are relative, with slashes; one with ``..`` or an empty part raises a ValueError.
    """

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        self.folder = None if "://" in text and not text.startswith("file://") else Path(text.removeprefix("file://"))
        """The root where it is a folder."""
        self._store: ObjectStore = LocalStore(self.folder, mkdir=True) if self.folder is not None else from_url(text)

    def local_path(self, key: str) -> Path:
        """The path of ``key``, whether anything is there or not. Raises NotOnThisDisk."""
        if self.folder is None:
            raise NotOnThisDisk(f"{key} is not on this disk")
        parts = key.split("/")
        if ".." in parts or "" in parts:
            raise ValueError(f"no key: {key!r}")
        return self.folder.joinpath(*parts)

    async def put(self, key: str, data: bytes) -> None:
        """Write ``data`` whole, in place of what was there."""
        await obstore.put_async(self._store, key, data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None) -> Stored:
        """Write a stream; ``key`` is there when all of it has come, and not before. Raises TooLarge."""
        counter = _Counter(chunks, max_bytes)
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
                await obstore.rename_async(self._store, incoming, stored.key)
                await self._write_manifest(folder, [stored])
            return await self._the_one_file(folder)
        finally:
            await self.delete(incoming)

    async def get(self, key: str) -> bytes:
        """All bytes of a small file. Raises FileNotFoundError."""
        return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in pieces. Raises FileNotFoundError."""
        async for chunk in (await obstore.get_async(self._store, key)).stream():
            yield bytes(chunk)

    async def is_complete(self, folder: str) -> bool:
        """Whether the folder's manifest is there and all that it names."""
        try:
            wanted = _sizes(await self.get(f"{folder}/{MANIFEST}"))
        except FileNotFoundError:
            return False
        found = await self._sizes_below(folder)
        return all(found.get(f"{folder}/{name}") == size for name, size in wanted.items())

    async def delete(self, key: str) -> None:
        """Delete a file, or a folder with everything below it; what is not there is no error."""
        if self.folder is not None:
            await asyncio.to_thread(_delete, self.local_path(key))
            return
        below = sorted(await self._sizes_below(key), key=lambda found: found != f"{key}/{MANIFEST}")
        for found in [*below, key]:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, found)

    async def _sizes_below(self, folder: str) -> dict[str, int]:
        return {item["path"]: item["size"] async for batch in obstore.list(self._store, folder) for item in batch}

    async def _write_manifest(self, folder: str, files: list[Stored]) -> None:
        names = [(file.key.removeprefix(f"{folder}/"), file.size_bytes, file.sha256) for file in files]
        await self.put(f"{folder}/{MANIFEST}", _manifest(names))

    async def _the_one_file(self, folder: str) -> Stored:
        entry = orjson.loads(await self.get(f"{folder}/{MANIFEST}"))["files"][0]
        return Stored(key=f"{folder}/{entry['name']}", size_bytes=entry["size_bytes"], sha256=entry["sha256"])


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


def write_manifest(folder: Path) -> None:
    """Make ``folder`` complete as it is now: the manifest of all files in it, written last and at once."""
    partial = folder / f".{MANIFEST}.part"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in (partial, folder / MANIFEST))
    entries = [(path.relative_to(folder).as_posix(), path.stat().st_size, _sha256(path)) for path in files]
    with partial.open("wb") as file:
        file.write(_manifest(entries))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MANIFEST)


def is_complete(folder: Path) -> bool:
    """Whether the folder's manifest is there, and all files that it names with their sizes."""
    try:
        wanted = _sizes((folder / MANIFEST).read_bytes())
        return all((folder / name).stat().st_size == size for name, size in wanted.items())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _delete(path: Path) -> None:
    # The manifest goes first: a folder that is half deleted is not complete.
    with suppress(FileNotFoundError, NotADirectoryError):
        (path / MANIFEST).unlink()
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(entries: list[tuple[str, int, str]]) -> bytes:
    files = [{"name": name, "size_bytes": size, "sha256": digest} for name, size, digest in entries]
    return orjson.dumps({"files": files}, option=orjson.OPT_INDENT_2)


def _sizes(manifest: bytes) -> dict[str, int]:
    return {entry["name"]: entry["size_bytes"] for entry in orjson.loads(manifest)["files"]}
