"""The headers of safetensors files: how many parameters there are, of which kind, and whether every file is whole."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from training.parameters import Value

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LONGEST_HEADER_BYTES = 100_000_000
"""The format's own limit."""

DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
OTHER_WEIGHTS = (".gguf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")


class CheckpointError(Exception):
    """A folder that holds no base model that can be tuned; ``code`` names the sentence ``checkpoint.<code>``."""

    def __init__(self, code: str, params: Mapping[str, Value]) -> None:
        super().__init__(f"{code}: {dict(params)}")
        self.code = code
        self.params = params


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the headers say."""

    parameters: int
    dtype: str
    """Of most parameters."""
    size_bytes: int
    """Of all files."""
    has_output_layer: bool
    """Whether ``lm_head.weight`` (or its like) is stored."""


def read_weights(folder: Path) -> Weights:
    """The weights in ``folder``, in one file or in shards; raises CheckpointError."""
    files = _files(folder)
    by_dtype: Counter[str] = Counter()
    has_output_layer = False
    for file in files:
        for name, tensor in _header(file).items():
            by_dtype[str(tensor["dtype"])] += prod(tensor["shape"])
            has_output_layer |= name in ("lm_head.weight", "embed_out.weight", "output.weight")
    dtype = by_dtype.most_common(1)[0][0] if by_dtype else ""
    if dtype not in DTYPES:
        raise CheckpointError("quantized_checkpoint", {"method": dtype or "-"})
    return Weights(
        parameters=by_dtype.total(),
        dtype=DTYPES[dtype],
        size_bytes=sum(file.stat().st_size for file in files),
        has_output_layer=has_output_layer,
    )


def read_shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor in ``folder``, by its name; raises CheckpointError."""
    return {name: shape for file in _files(folder) for name, shape in file_shapes(file).items()}


def file_shapes(file: Path) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor of one safetensors file, by its name; raises CheckpointError."""
    return {name: tuple(tensor["shape"]) for name, tensor in _header(file).items()}


def read_json(path: Path) -> dict[str, Any]:
    """A file with one JSON object; raises CheckpointError ``broken_json`` with file and line."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError("broken_json", {"file": path.name, "line": error.lineno}) from error
    except UnicodeDecodeError as error:
        raise CheckpointError("broken_json", {"file": path.name, "line": 1}) from error
    if not isinstance(data, dict):
        raise CheckpointError("broken_json", {"file": path.name, "line": 1})
    return data


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        named = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in named if not (folder / name).is_file()]
        if missing:
            found = len(named) - len(missing)
            raise CheckpointError(
                "incomplete_shards", {"file": missing[0], "missing": len(missing), "found": found, "all": len(named)}
            )
        if named:
            return [folder / name for name in named]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise _no_weights(folder)


def _no_weights(folder: Path) -> CheckpointError:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if any(name.endswith(".safetensors") for name in names):
        return CheckpointError("no_index", {"folder": str(folder), "file": INDEX})
    others = [name for name in names if name.endswith(OTHER_WEIGHTS)]
    if others:
        return CheckpointError("other_weights", {"folder": str(folder), "found": ", ".join(others[:3])})
    return CheckpointError("no_weights", {"folder": str(folder)})


def _header(file: Path) -> dict[str, Any]:
    """The tensors of one file by name; the file must be as long as they say.

    The format: 8 bytes with the header's length (little endian), the header as JSON, the tensors' bytes.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        if start.startswith(b"version "):
            raise CheckpointError("pointer_file", {"file": file.name})
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, LONGEST_HEADER_BYTES):
            raise CheckpointError("damaged_weights", {"file": file.name})
        raw = opened.read(length)
    try:
        header = json.loads(raw)
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        end = max(_ends(tensors.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError("damaged_weights", {"file": file.name}) from error
    if size != 8 + length + end:
        raise CheckpointError("damaged_weights", {"file": file.name})
    return tensors


def _ends(tensors: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    return (int(tensor["data_offsets"][1]) for tensor in tensors)
