"""Brings a bucket's files to a vLLM in a pod, from the trainer's image: weights before it starts, adapters beside it.

``python -m serving.puller weights URL KEY FOLDER``, an init container: the folder ``KEY`` of the bucket is at
``FOLDER`` when it ends with 0. The parent of ``FOLDER`` may be a volume that is kept: what broke off is gone on with,
and what is there is left. ``python -m serving.puller adapters URL HOST_ID FOLDER``, a sidecar: the adapters that the
server wants on that host are in ``FOLDER``, each in a folder named like the last part of its key, and no others.
SIGTERM ends both at once.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath

from storage.artifact_errors import ArtifactError
from storage.files import ArtifactFiles
from storage.manifests import delete_path, is_complete

MODULE = "serving.puller"
PERIOD_S = 2.0
PATIENCE = timedelta(seconds=10)
"""Of the sidecar with a bucket that is away: it comes again anyway."""
PART, GONE = ".part", ".gone"
"""Endings of folders that are on their way in and out; no adapter's own folder ends so."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring weights, or adapters until it is ended; returns the exit code."""
    parser = argparse.ArgumentParser(prog=MODULE, description="Bring files from a bucket.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    weights = kinds.add_parser("weights")
    weights.add_argument("url")
    weights.add_argument("key")
    weights.add_argument("folder", type=Path)
    adapters = kinds.add_parser("adapters")
    adapters.add_argument("url")
    adapters.add_argument("host_id")
    adapters.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if options.kind == "adapters":
        _end_on_sigterm(0)
        Adapters(ArtifactFiles(options.url, patience=PATIENCE), options.host_id, options.folder).keep()
    _end_on_sigterm(128 + signal.SIGTERM)  # not 0: what starts next would take half a model for whole
    try:
        bring(ArtifactFiles(options.url), options.key, options.folder)
    except (ArtifactError, OSError) as error:
        _say(f"{options.key} cannot be brought: {_line(error)}")
        return 1
    _say(f"{options.key} is at {options.folder}")
    return 0


def write_wanted(files: ArtifactFiles, host_id: str, keys: Sequence[str]) -> None:
    """Say which adapters (keys of folders below the root) a host's pods shall have. May raise StoreUnavailable."""
    files.write(_wanted_key(host_id), json.dumps(sorted(set(keys))).encode())


def read_wanted(files: ArtifactFiles, host_id: str) -> set[str]:
    """The keys that were said last; none where nothing was. May raise StoreUnavailable, ValueError."""
    try:
        return set(parse_wanted(files.read(_wanted_key(host_id))).values())
    except FileNotFoundError:
        return set()


def forget(files: ArtifactFiles, host_id: str) -> None:
    """Nothing is said of a host any more. May raise StoreUnavailable."""
    files.delete(f"hosts/{host_id}")


def bring(files: ArtifactFiles, key: str, folder: Path) -> None:
    """Copy the folder ``key`` to ``folder``, which is there whole or not at all; others that do the same are awaited.

    Raises ArtifactError, and OSError of this disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(_beside(folder, ".lock")):
        if is_complete(folder):
            return
        delete_path(folder)
        part = _beside(folder, PART)
        files.download(key, part)
        part.rename(folder)


class Adapters:
    """The folder with a host's adapters, made to match what the server wants."""

    def __init__(self, files: ArtifactFiles, host_id: str, folder: Path) -> None:
        self._files = files
        self._wanted_key = _wanted_key(host_id)
        self._folder = folder
        self._said: dict[str, str] = {}

    def keep(self, period_s: float = PERIOD_S) -> None:
        """Look and act, until the process ends."""
        while True:
            self.match()
            time.sleep(period_s)

    def match(self) -> None:
        """Look once: bring what is missing, remove what nobody wants. What fails is said, and tried the next time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            wanted = parse_wanted(self._files.read(self._wanted_key))
        except FileNotFoundError:
            return  # nothing was said yet
        except (ArtifactError, ValueError) as error:
            self._failed(self._wanted_key, error)
            return
        self._said.pop(self._wanted_key, None)
        for name, key in wanted.items():
            self._bring(key, self._folder / name)
        kept = {name + ending for name in wanted for ending in ("", PART)}
        for path in sorted(self._folder.iterdir()):
            if path.name.removeprefix(".") not in kept:
                self._remove(path)

    def _bring(self, key: str, folder: Path) -> None:
        if folder.exists():
            return
        part = _beside(folder, PART)
        try:
            self._files.download(key, part)
            part.rename(folder)
        except (ArtifactError, OSError) as error:
            self._failed(key, error)
            return
        self._said.pop(key, None)
        _say(f"{key} is there")

    def _remove(self, path: Path) -> None:
        # Aside at once: whoever reads it finds it whole or not at all.
        gone = path if path.name.endswith(GONE) else path.rename(_beside(path, GONE))
        delete_path(gone)
        _say(f"{path.name} is removed")

    def _failed(self, key: str, error: Exception) -> None:
        """Say it once, not every two seconds."""
        line = _line(error)
        if self._said.get(key) != line:
            self._said[key] = line
            _say(f"{key} cannot be brought yet: {line}")


def parse_wanted(text: bytes) -> dict[str, str]:
    """The name of an adapter's folder -> its key. Raises ValueError for anything but a list of keys."""
    keys = json.loads(text)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("a list of keys is expected")
    names = {PurePosixPath(key).name: key for key in keys}
    if any(name in ("", "..") or name.startswith(".") for name in names):
        raise ValueError("a key names no folder")
    return names


def _wanted_key(host_id: str) -> str:
    return f"hosts/{host_id}/adapters.json"


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name.removeprefix('.')}{ending}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time, in whatever pod; the lock goes with its process."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_on_sigterm(code: int) -> None:
    """End at once, also in the middle of a download, and as the first process of a container."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def end() -> None:
        signal.sigwait(signals)
        os._exit(code)

    threading.Thread(target=end, daemon=True).start()


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a container's output is its log


if __name__ == "__main__":
    sys.exit(main())
