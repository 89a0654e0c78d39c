"""A pod's command: one machine's share of an attempt, from its request to its exit code.

``python -m training.trainer.pod ROOT RUN_ID NUMBER --nodes N --node I --master HOST [--bucket URL]``. ``ROOT`` is the
shared volume with all artifacts; with a bucket it is a folder of the pod, and what is needed is fetched. A pod that is
made anew goes on: from the newest checkpoint, or at once to the exit code of its attempt where that has ended.

SIGTERM means that the cluster wants the place back: the ranks save a checkpoint, and the attempt is interrupted. Where
a person asked for a stop, the model is saved instead.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType

MODULE = "training.trainer.pod"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this machine's share; returns the exit code."""
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)
    # Imported here: it takes a while, and the kernel drops what is sent to a process 1 that does not listen yet.
    from training.trainer.share import run_share

    return run_share(heard, arguments)


if __name__ == "__main__":
    sys.exit(main())
