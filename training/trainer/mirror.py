"""Between a pod's own disk and a bucket: what a run needs comes in, what it makes goes out while it is made.

Nothing half is ever taken for whole: a checkpoint counts with its ``complete.json``, a model with its manifest, and
both are written after all that they name.
"""

import logging
import threading
import time
from pathlib import Path

import orjson

from storage.artifact_errors import ArtifactError
from storage.files import ArtifactFiles
from training.layout import run_folder
from training.runs import Attempt, AttemptId
from training.trainer import request
from training.trainer.checkpoints import COMPLETE, find_complete

_log = logging.getLogger("trainer")

KEPT_CHECKPOINTS = 2
OTHERS_WAIT_S = 60


class Mirror:
    """One machine's view of a run in the bucket, below the same keys as on its own disk."""

    def __init__(self, files: ArtifactFiles, root: Path, attempt: AttemptId, *, node: int, period_s: float = 5) -> None:
        self._files = files
        self._root = root
        self._id = attempt
        self._node = node
        self._period_s = period_s
        self._run = run_folder(root, attempt.run_id)
        self._folder = self._run.attempt(attempt.number)
        self._sent: dict[Path, int] = {}
        """File -> how many bytes of it the bucket has."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def fetch(self) -> None:
        """Bring in the request, the data, the base model and the newest checkpoint. Raises ArtifactError, OSError."""
        self._folder.path.mkdir(parents=True, exist_ok=True)
        self._get(self._folder.request)
        attempt = request.from_json(self._folder.request.read_bytes())
        self._files.download(attempt.dataset, self._root / attempt.dataset)
        if attempt.base_model.startswith(request.ARTIFACT):
            key = attempt.base_model.removeprefix(request.ARTIFACT)
            self._files.download(key, self._root / key)
        self._fetch_checkpoint(attempt)
        for path in (*self._own_files(), self._folder.exit_of(self._node), self._folder.exit):
            if self._files.exists(self._key(path)):
                self._get(path)

    def is_stop_wanted(self) -> bool:
        """Whether a person asked for a stop."""
        return self._files.exists(self._key(self._folder.stop))

    def begin(self) -> None:
        """Send what grows, every few seconds."""
        self._thread.start()

    def finish(self) -> None:
        """Send the rest: the model, if it is whole, and at the very end how it ended."""
        self._ended.set()
        self._thread.join()
        self._send_growing()
        attempt = request.from_json(self._folder.request.read_bytes())
        if self._node == 0 and (self._root / attempt.model).is_dir():
            self._files.upload(self._root / attempt.model, attempt.model)
        self._put(self._folder.exit_of(self._node))
        if self._node == 0 and not self._run.checkpoints.exists():
            # They are removed when all is learned. A machine's exit code is the last it sends:
            # before that, the random states of its ranks may still be on their way.
            self._wait_for_others(attempt.spec.nodes)
            self._files.delete(self._key(self._run.checkpoints))

    def _wait_for_others(self, nodes: int) -> None:
        end = time.monotonic() + OTHERS_WAIT_S
        exits = [self._key(self._folder.exit_of(node)) for node in range(1, nodes)]
        while not all(self._files.exists(key) for key in exits) and time.monotonic() < end:
            time.sleep(0.2)

    def _repeat(self) -> None:
        while not self._ended.wait(self._period_s):
            try:
                self._send_growing()
            except (ArtifactError, OSError) as error:
                # Progress may come late; what must not be missing is sent again at the end.
                _log.warning("not sent: %s", type(error).__name__)

    def _send_growing(self) -> None:
        for path in self._own_files():
            if path.is_file() and self._sent.get(path) != path.stat().st_size:
                self._put(path)
        if self._node == 0:
            self._send_checkpoints()
        else:
            self._send_random_states()

    def _own_files(self) -> list[Path]:
        growing = [self._folder.log_of(self._node)]
        return [self._folder.progress, *growing] if self._node == 0 else growing

    def _send_checkpoints(self) -> None:
        newest = find_complete(self._run.checkpoints)
        if newest is None or newest / COMPLETE in self._sent:
            return
        self._files.upload(newest, self._key(newest), last=COMPLETE)
        self._sent[newest / COMPLETE] = 1
        # What stands after it is half of one, of an attempt that broke off: it takes no whole one's place.
        last = int(newest.name.removeprefix("checkpoint-"))
        steps = sorted(step for step in self._steps(self._id.run_id) if step <= last)
        for step in steps[:-KEPT_CHECKPOINTS]:
            folder = self._key(self._run.checkpoints / f"checkpoint-{step}")
            self._files.delete(f"{folder}/{COMPLETE}")
            self._files.delete(folder)

    def _send_random_states(self) -> None:
        for path in self._run.checkpoints.glob("checkpoint-*/rng_state_*.pth"):
            if path not in self._sent:
                self._put(path)

    def _fetch_checkpoint(self, attempt: Attempt) -> None:
        for run_id in filter(None, (attempt.id.run_id, attempt.resumes_from)):
            for step in sorted(self._steps(run_id), reverse=True):
                checkpoint = run_folder(self._root, run_id).checkpoints / f"checkpoint-{step}"
                if self._fetch_whole(checkpoint):
                    return

    def _fetch_whole(self, checkpoint: Path) -> bool:
        key = self._key(checkpoint)
        found = {name.removeprefix(f"{key}/"): size for name, size in self._files.sizes(key).items()}
        if COMPLETE not in found:
            return False
        wanted = orjson.loads(self._files.read(f"{key}/{COMPLETE}"))["sizes"]
        if any(found.get(name) != size for name, size in wanted.items()):
            return False
        for name in sorted(found, key=lambda name: name == COMPLETE):
            self._files.get_file(f"{key}/{name}", checkpoint / name)
        self._sent[checkpoint / COMPLETE] = 1
        return True

    def _steps(self, run_id: str) -> set[int]:
        folder = self._key(run_folder(self._root, run_id).checkpoints)
        names = {key.removeprefix(f"{folder}/checkpoint-").split("/")[0] for key in self._files.sizes(folder)}
        return {int(name) for name in names if name.isdigit()}

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _get(self, path: Path) -> None:
        self._files.get_file(self._key(path), path)
        self._sent[path] = path.stat().st_size

    def _put(self, path: Path) -> None:
        size = path.stat().st_size
        self._files.put_file(path, self._key(path))
        self._sent[path] = size
