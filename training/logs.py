"""The end of a growing log file, whatever its size."""

import os
from pathlib import Path

_BLOCK_BYTES = 64 * 1024


def read_last_lines(path: Path, count: int) -> tuple[str, ...]:
    """The last ``count`` lines of ``path``, oldest first; none where there is no file."""
    if count <= 0:
        return ()
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            # One line break more than lines: the first one found may be the middle of a longer line.
            while position > 0 and data.count(b"\n") <= count:
                size = min(_BLOCK_BYTES, position)
                position = file.seek(position - size)
                data = file.read(size) + data
    except FileNotFoundError:
        return ()
    return tuple(data.decode(errors="replace").splitlines()[-count:])
