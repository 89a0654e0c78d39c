"""The manifest of a folder, ``manifest.json``: written last, it names every file with its size and sha256."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import orjson

MANIFEST = "manifest.json"


def path_below(folder: Path, key: str) -> Path:
    """The path of a key or a name below ``folder``. Raises ValueError for one that would leave it."""
    parts = key.split("/")
    if ".." in parts or "" in parts:
        raise ValueError(f"no key: {key!r}")
    return folder.joinpath(*parts)


def write_manifest(folder: Path) -> None:
    """Make ``folder`` complete as it is now: the manifest of all files in it, written last and at once."""
    partial = folder / f".{MANIFEST}.part"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in (partial, folder / MANIFEST))
    entries = [(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in files]
    with partial.open("wb") as file:
        file.write(manifest_of(entries))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MANIFEST)


def is_complete(folder: Path) -> bool:
    """Whether the folder's manifest is there, and all files that it names with their sizes."""
    try:
        wanted = manifest_sizes((folder / MANIFEST).read_bytes())
        return all((folder / name).stat().st_size == size for name, size in wanted.items())
    except (FileNotFoundError, NotADirectoryError):
        return False


def delete_path(path: Path) -> None:
    """Delete a file or a folder; what is not there is no error."""
    # The manifest goes first: a folder that is half deleted is not complete.
    with suppress(FileNotFoundError, NotADirectoryError):
        (path / MANIFEST).unlink()
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(entries: list[tuple[str, int, str]]) -> bytes:
    """The manifest that names these: name, size in bytes, sha256."""
    files = [{"name": name, "size_bytes": size, "sha256": digest} for name, size, digest in entries]
    return orjson.dumps({"files": files}, option=orjson.OPT_INDENT_2)


def manifest_entries(manifest: bytes) -> list[tuple[str, int, str]]:
    """What a manifest names: name, size in bytes, sha256."""
    return [(entry["name"], entry["size_bytes"], entry["sha256"]) for entry in orjson.loads(manifest)["files"]]


def manifest_sizes(manifest: bytes) -> dict[str, int]:
    """What a manifest names: name -> size in bytes."""
    return {name: size for name, size, _ in manifest_entries(manifest)}
