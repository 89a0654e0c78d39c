"""How fast a large data set is checked and counted: run as ``python -m tests.benchmarks.bench_datasets``."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chat_templates import chat_tokenizer
from training.datasets import DatasetReport, check, measure

ROWS = 1_000_000
ANSWER = "Making crepes is an easy and delicious process! Here are step-by-step instructions. 先把面粉过筛。" * 4

Figure = dict[str, str | float]


def write_rows(path: Path, rows: int) -> None:
    """A file of some 460 bytes a row, as the demonstration data has them; every fourth row is partly Chinese."""
    ascii_answer = ANSWER.encode("ascii", "ignore").decode()
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            answer = ANSWER[:280] if number % 4 == 0 else ascii_answer[:340]
            row = {"instruction": f"Describe step {number} of making crepes.", "input": "", "output": answer}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def timed(work: Callable[[], object]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 2)


def memory_of_check(path: Path) -> float:
    """The most memory (MB) of a process that checks the file and nothing else, less that of one that only starts."""

    def peak(work: str) -> float:
        program = f"from training.datasets import check\nfrom pathlib import Path\n{work}\n{MEASURED}"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        return float(done.stdout)

    return round(peak(f"check(Path({os.fspath(path)!r}), name='a.jsonl')") - peak(""), 1)


# VmHWM, and not ru_maxrss: that one begins with what the parent held.
MEASURED = "import re; print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"


def figures(rows: int = ROWS) -> Iterator[Figure]:
    """Figures of ``rows`` rows: one mapping a figure, with its value and unit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        reports: list[DatasetReport] = []
        yield {"figure": "dataset_size", "value": round(path.stat().st_size / 1e6, 1), "unit": "MB"}
        processor = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        yield {
            "figure": "dataset_check",
            "value": timed(lambda: reports.append(check(path, name=path.name))),
            "unit": f"s for {rows} rows",
        }
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - processor
        yield {"figure": "dataset_check_processor", "value": round(used, 2), "unit": f"s for {rows} rows"}
        yield {"figure": "dataset_check_memory", "value": memory_of_check(path), "unit": "MB"}
        yield {
            "figure": "dataset_count_tokens",
            "value": timed(lambda: measure(path, reports[0], chat_tokenizer(), fills={})),
            "unit": f"s for {rows} rows (a sample)",
        }


if __name__ == "__main__":
    for figure in figures():
        sys.stdout.write(json.dumps(figure) + "\n")
