"""Prepares the cluster tests: ``python -m tests.cluster lacking`` says what this machine lacks, ``build`` compiles.

Compiling takes some ten minutes of two cores, once: it can go on beside other tests, which do not need it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster import charts, kueue
from tests.cluster.cluster import TOOLS, build, make_cgroup, remove_cgroup


def lacking() -> list[str]:
    """What has to be there besides Python; nothing of it is installed from here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return ["root on Linux"]
    if found := [tool for tool in ("go", "npm", *TOOLS.split()) if shutil.which(tool) is None]:
        return found
    return [right for right, has in RIGHTS.items() if not has()]


def has_namespaces() -> bool:
    """Nodes are namespaces: in some containers even root may not make them."""
    name = f"trial-{os.getpid()}"
    return _works("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true") and (
        _works("ip", "netns", "add", name) and _works("ip", "netns", "delete", name)
    )


def has_overlays() -> bool:
    """A node's disk is an overlay of the machine's, on the folder for temporary files."""
    with tempfile.TemporaryDirectory() as name:
        for part in ("upper", "work", "merged"):
            Path(name, part).mkdir()
        options = f"lowerdir=/var,upperdir={name}/upper,workdir={name}/work"
        mount = f"mount -n -t overlay -o {options} overlay {name}/merged"
        return _works("unshare", "--mount", "--propagation=slave", "sh", "-c", mount)


def has_cgroups() -> bool:
    """The kubelets of one machine have a cgroup each."""
    name = f"trial-{os.getpid()}"
    try:
        make_cgroup(name)
        return remove_cgroup(name)
    except OSError:
        return False


RIGHTS: Mapping[str, Callable[[], bool]] = {
    "the right to make namespaces (a privileged container)": has_namespaces,
    "overlay mounts on the folder for temporary files": has_overlays,
    "the right to make cgroups": has_cgroups,
}


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    """The command line."""
    if sys.argv[1:] == ["build"]:
        build()
        kueue.program()
        charts.helm_program()
        return 0
    missing = lacking()
    sys.stdout.write(", ".join(missing))
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
