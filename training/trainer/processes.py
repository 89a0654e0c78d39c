"""What the launcher asks of Linux: to die with a parent, and how many processes died for want of memory."""

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
_MACHINE_EVENTS = Path("/proc/vmstat")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: an orphan would train on, unseen."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1 and not _parent_may_be_init():
        os.kill(os.getpid(), signal.SIGKILL)


def count_oom_kills() -> int:
    """How many processes the kernel has killed for want of memory so far: of this container, else of this machine."""
    for path in (_CGROUP_EVENTS, _MACHINE_EVENTS):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if counts:
            return counts[0]
    return 0


def _parent_may_be_init() -> bool:
    # In a container the launcher itself can be process 1; its children then have a living parent of that number.
    try:
        return b"training.trainer.pod" in Path("/proc/1/cmdline").read_bytes()
    except OSError:
        return True
