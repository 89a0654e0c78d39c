"""Artifacts without an event loop: for the launcher in a pod, and for what watches a cluster from a thread.

The same keys and the same rule as in :mod:`storage.artifacts`: a folder is whole when its manifest, written last, is
there with all that it names.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import obstore

from storage.artifact_errors import Incomplete, translated
from storage.manifests import MANIFEST, delete_path, manifest_entries, manifest_of, manifest_sizes
from storage.stores import local_root, open_store

CHUNK_BYTES = 8 * 1024 * 1024

PATIENCE = timedelta(seconds=60)
"""With a bucket that does not answer: what a training made must reach it."""


class ArtifactFiles:
    """All files below ``root``: a folder, or a bucket (``s3://bucket/prefix``).

    Everything that asks a bucket may raise StoreUnavailable.
    """

    def __init__(self, root: str | Path, *, patience: timedelta = PATIENCE) -> None:
        self.root = str(root)
        """As it was given."""
        self.folder = local_root(root)
        """The root where it is a folder."""
        self._store = open_store(root, patience=patience)

    @translated()
    def read(self, key: str) -> bytes:
        """All bytes of a small file. Raises FileNotFoundError."""
        return bytes(obstore.get(self._store, key).bytes())

    @translated()
    def read_from(self, key: str, start: int) -> bytes:
        """The bytes from ``start`` on; none where there is no such file, or no more of it."""
        try:
            size = obstore.head(self._store, key)["size"]
            return bytes(obstore.get_range(self._store, key, start=start, end=size)) if size > start else b""
        except FileNotFoundError:
            return b""

    @translated()
    def read_end(self, key: str, size_bytes: int) -> bytes:
        """At most the last ``size_bytes``; none where there is no such file."""
        try:
            size = obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return b""
        return self.read_from(key, max(0, size - size_bytes))

    @translated()
    def exists(self, key: str) -> bool:
        """Whether there is a file of that key."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    @translated()
    def write(self, key: str, data: bytes) -> None:
        """Write a small file whole, in place of what was there."""
        obstore.put(self._store, key, data)

    @translated()
    def sizes(self, under: str) -> dict[str, int]:
        """All files below a folder: key -> bytes."""
        return {item["path"]: item["size"] for batch in obstore.list(self._store, f"{under}/") for item in batch}

    @translated()
    def delete(self, key: str) -> None:
        """Delete a file, or a folder with all below it, its manifest first; what is not there is no error."""
        if self.folder is not None:
            delete_path(self.folder / key)
            return
        below = sorted(self.sizes(key), key=lambda found: found != f"{key}/{MANIFEST}")
        for found in [*below, key]:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, found)

    @translated()
    def is_complete(self, folder: str) -> bool:
        """Whether the folder's manifest is there and all that it names."""
        try:
            wanted = manifest_sizes(self.read(f"{folder}/{MANIFEST}"))
        except FileNotFoundError:
            return False
        found = self.sizes(folder)
        return all(found.get(f"{folder}/{name}") == size for name, size in wanted.items())

    @translated()
    def upload(self, source: Path, folder: str, *, last: str = MANIFEST) -> None:
        """Copy all files of ``source`` to ``folder``, the one named ``last`` after all others.

        Nothing that is there already is taken for the same: what two trainings save has the same names and sizes. Until
        all of it is there, ``folder`` has no file ``last``.
        """
        self.delete(f"{folder}/{last}")
        for path in in_order(source, last):
            self.put_file(path, f"{folder}/{path.relative_to(source).as_posix()}")

    @translated()
    def keep_folder(self, source: Path, folder: str) -> None:
        """Copy a folder that has no manifest, and write one for the copy, last. Goes on where it broke off."""
        found = self.sizes(folder)
        entries = []
        for path in in_order(source, MANIFEST):
            name = path.relative_to(source).as_posix()
            if name == MANIFEST:
                continue
            if found.get(f"{folder}/{name}") != path.stat().st_size:
                self.put_file(path, f"{folder}/{name}")
            entries.append((name, path.stat().st_size, sha256(path)))
        self.write(f"{folder}/{MANIFEST}", manifest_of(entries))

    @translated()
    def put_file(self, path: Path, key: str) -> None:
        """Copy one file, in parts where it is large."""
        with path.open("rb") as file:
            obstore.put(self._store, key, file)

    @translated()
    def download(self, folder: str, target: Path) -> None:
        """Copy a whole folder to ``target``, checked against its manifest, the manifest last. Raises Incomplete."""
        try:
            manifest = self.read(f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            raise Incomplete(f"{folder} is not complete") from None
        for name, _, digest in manifest_entries(manifest):
            path = target / name
            if not (path.is_file() and sha256(path) == digest):
                self.get_file(f"{folder}/{name}", path)
            if sha256(path) != digest:
                raise Incomplete(f"{folder}/{name} is not what its manifest says")
        (target / MANIFEST).write_bytes(manifest)

    @translated()
    def get_file(self, key: str, path: Path) -> None:
        """Copy one file to ``path``, in pieces. Raises FileNotFoundError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)


def in_order(source: Path, last: str) -> Iterator[Path]:
    """The files below ``source`` by name, those named ``last`` at the end; none in the making (``.x.part``)."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.endswith(".part"))
    yield from (path for path in files if path.name != last)
    yield from (path for path in files if path.name == last)


def sha256(path: Path) -> str:
    """The digest of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def give_to(paths: Iterable[Path], user_id: int) -> None:
    """Hand files over to the user of the pods; only root can, and others need not: pods run as the same user."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, user_id, user_id)
