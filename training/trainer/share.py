"""One machine's share of an attempt, from its request to its exit code: what a pod runs."""

import argparse
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from storage.artifact_errors import ArtifactError, StoreUnavailable
from storage.files import ArtifactFiles
from training.layout import AttemptFolder, attempt_folder
from training.runs import AttemptId
from training.trainer.exits import Exit, describe
from training.trainer.gang import Gang, Place
from training.trainer.launch import end, run_gang
from training.trainer.mirror import Mirror
from training.trainer.outcomes import read_exit
from training.trainer.pod import MODULE


def run_share(heard: Sequence[int], arguments: Sequence[str] | None = None) -> int:
    """Run this machine's share; returns the exit code. ``heard``: the signals that have come by now."""
    parser = argparse.ArgumentParser(prog=MODULE, description="Run one machine's share of an attempt.")
    parser.add_argument("root", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("number", type=int)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node", type=int, default=0)
    parser.add_argument("--master", default="127.0.0.1")
    parser.add_argument("--bucket")
    options = parser.parse_args(arguments)
    attempt = AttemptId(options.run_id, options.number)
    place = Place(node=options.node, nodes=options.nodes, master=options.master, is_interruptible=True)
    os.umask(0o007)  # what a pod writes on a shared volume, the server's group may change
    try:
        mirror = None
        if options.bucket:
            mirror = Mirror(ArtifactFiles(options.bucket), options.root, attempt, node=place.node)
        return _run(options.root, attempt, place, mirror, heard)
    except (ArtifactError, OSError) as error:
        # Where the bucket cannot be reached nobody can be told but the cluster.
        exit_, detail = Exit.LOST_PEER if isinstance(error, StoreUnavailable) else Exit.BUG, describe(error)
        print(f"{exit_.name}: {detail}", flush=True)  # noqa: T201  a pod's output is its log
        return int(exit_)


def _run(root: Path, attempt: AttemptId, place: Place, mirror: Mirror | None, heard: Sequence[int]) -> int:
    folder = attempt_folder(root, attempt)
    gang = Gang(root=root, attempt=attempt, cache=Path(tempfile.mkdtemp(prefix="cache-")), place=place)
    _listen(gang, folder, mirror, heard)
    if mirror is not None:
        mirror.fetch()
        # As ranks on a shared volume look for it: whoever stops a run need not be heard by a pod that is being made.
        _take_over_stop(folder, mirror)
    ended = read_exit(folder, node=place.node)
    if ended is not None and ended.exit is not Exit.INTERRUPTED:
        return int(ended.exit)
    if place.node > 0 and (first := read_exit(folder)) is not None and first.exit is Exit.SUCCEEDED:
        return int(Exit.SUCCEEDED)  # the model is saved, and nobody is there to train with any more
    folder.exit_of(place.node).unlink(missing_ok=True)
    if mirror is not None:
        mirror.begin()
    outcome = run_gang(gang)
    end(root, attempt, outcome, node=place.node)
    if mirror is not None:
        mirror.finish()
    return int(outcome.exit)


def _listen(gang: Gang, folder: AttemptFolder, mirror: Mirror | None, heard: Sequence[int]) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        if mirror is not None:
            _take_over_stop(folder, mirror)
        gang.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if heard:
        stop(heard[0], None)


def _take_over_stop(folder: AttemptFolder, mirror: Mirror) -> None:
    """Where the bucket does not answer, a checkpoint is saved and nothing lost: the next attempt sees the wish."""
    with suppress(ArtifactError):
        if mirror.is_stop_wanted():
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.stop.touch()
