"""Base models on their way to where pods find them: each is copied once to the artifact root."""

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from storage.files import ArtifactFiles, give_to
from training.runs import BackendUnavailable, Preparing
from training.trainer.request import ARTIFACT

FOLDER = "bases"


class BaseCopies:
    """Copies in the background, one at a time; a copy that broke off goes on."""

    def __init__(self, files: ArtifactFiles, *, user_id: int) -> None:
        self._files = files
        self._user_id = user_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="base copy")
        self._copies: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Wait for a file that is being copied, and begin no other."""
        self._pool.shutdown(cancel_futures=True)

    def artifact(self, base_model: str) -> str:
        """``artifact:<key>`` of a base model (a folder of this disk, or such a key already).

        Raises Preparing while it is copied, BackendUnavailable where that failed: the next call tries again.
        """
        if base_model.startswith(ARTIFACT):
            return base_model
        folder = Path(base_model)
        key = copy_key(folder)
        with self._lock:
            copy = self._copies.get(key)
            if copy is None and self._files.is_complete(key):
                return ARTIFACT + key
            if copy is None:
                self._copies[key] = self._pool.submit(self._copy, folder, key)
                raise Preparing(folder.name)
            if not copy.done():
                raise Preparing(folder.name)
            del self._copies[key]
        if (error := copy.exception()) is not None:
            raise BackendUnavailable(f"{folder.name} could not be copied: {type(error).__name__}") from error
        return ARTIFACT + key

    def _copy(self, folder: Path, key: str) -> None:
        self._files.keep_folder(folder, key)
        if self._files.folder is not None:
            give_to([self._files.folder / FOLDER, self._files.folder / key], self._user_id)


def copy_key(folder: Path) -> str:
    """Where a base model's copy goes: the same files always to the same place."""
    return f"{FOLDER}/{folder.name}-{_fingerprint(folder)}"


def _fingerprint(folder: Path) -> str:
    """Of the files' names, sizes and times: reading gigabytes each time would tell no more."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
