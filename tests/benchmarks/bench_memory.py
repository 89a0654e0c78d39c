"""What the idle server holds in memory: run as ``python -m tests.benchmarks.bench_memory``."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import httpx
import psutil

from tests.places import PROJECT

Figure = dict[str, str | float]

SETTLE_SECONDS = 10.0


def figures() -> Iterator[Figure]:
    """Start a server on an empty home, let a browser's first request come, and look at it when it is idle."""
    with tempfile.TemporaryDirectory() as home:
        begin = time.perf_counter()
        environment = os.environ | {"TUNESMITH_HOME": home, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-P", "-m", "bot.cli", "up", "--port", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=home) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[-1]
                yield {"figure": "start to address", "value": round(time.perf_counter() - begin, 1), "unit": "s"}
                httpx.get(address, trust_env=False).raise_for_status()
                time.sleep(SETTLE_SECONDS)
                held = psutil.Process(server.pid).memory_full_info().pss
                yield {"figure": "memory of the idle server", "value": round(held / 1e6), "unit": "MB"}
            finally:
                server.terminate()


def main() -> None:
    """Print one JSON line a figure."""
    for figure in figures():
        print(json.dumps(figure), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
