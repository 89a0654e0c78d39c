"""One rank of an attempt; torchrun starts it: ``-m training.trainer.main ROOT RUN_ID NUMBER [--interruptible]``."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from training.layout import attempt_folder, run_folder
from training.runs import AttemptId
from training.trainer import request
from training.trainer.checkpoints import remove_incomplete
from training.trainer.exits import Ended, Exit, classify
from training.trainer.outcomes import write_rank
from training.trainer.processes import die_with_parent
from training.trainer.stopping import StopWish

_log = logging.getLogger("trainer")


def main(root: Path, attempt: AttemptId, *, is_interruptible: bool = False) -> int:
    """Train, and write how it ended; a stop is no error to torchrun, which would kill the others while they save."""
    die_with_parent()
    rank = int(os.environ["RANK"])
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format="%(message)s", stream=sys.stdout)
    folder = attempt_folder(root, attempt)
    stop = StopWish(folder.stop, is_interruptible=is_interruptible)
    stop.listen()
    write_rank(folder, rank, os.getpid())
    exit_, detail = _train(root, attempt, stop)
    write_rank(folder, rank, os.getpid(), exit_, detail)
    return int(exit_) if exit_.is_failure else 0


def _train(root: Path, attempt: AttemptId, stop: StopWish) -> tuple[Exit, str | None]:
    try:
        submitted = request.from_json(attempt_folder(root, attempt).request.read_bytes())
        stop.check()
        # Imported here: it takes seconds, and the rank has said by now that it lives.
        from training.trainer import quiet, sft

        quiet.hush_libraries()
        sft.train(root, submitted, stop)
    except Ended as error:
        _log.info("%s: %s", error.exit.name, error)
        return error.exit, str(error)
    except Exception as error:  # noqa: BLE001 - the rank must say how it ended, whatever the libraries raise
        _log.exception("the trainer failed")
        exit_, detail = classify(error)
        if exit_ is Exit.DISK_FULL:
            _make_room(root, attempt)
        return exit_, detail
    return Exit.SUCCEEDED, None


def _make_room(root: Path, attempt: AttemptId) -> None:
    # What could not be written whole is of no use, and without any room nobody could write how it ended.
    with suppress(OSError):
        remove_incomplete(run_folder(root, attempt.run_id).checkpoints)


if __name__ == "__main__":
    attempt_id = AttemptId(sys.argv[2], int(sys.argv[3]))
    sys.exit(main(Path(sys.argv[1]), attempt_id, is_interruptible="--interruptible" in sys.argv))
