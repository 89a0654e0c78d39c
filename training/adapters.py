"""What an adapter must be for vLLM to serve it; read from its small file and the header of its weights, without torch.

vLLM takes an adapter whose modules it does not find, and ignores them in silence: the answers are the base model's. So
every tensor is held against the base model's own before anything is loaded.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from training.weights import CheckpointError, file_shapes, read_shapes

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_A_B = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))
_HARMLESS_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga", "true", "false")
"""``init_lora_weights`` that leave the base model as it is. Others change it, and vLLM would serve it unchanged."""

Shapes = Mapping[str, tuple[int, ...]]


class AdapterProblem(Exception):
    """An adapter that cannot be served; ``code`` names the sentence ``adapter.<code>``, ``params`` fill it.

    ``no_folder`` (folder), ``full_checkpoint`` (folder), ``missing_file`` (file, folder), ``damaged`` (file),
    ``not_lora`` (kind), ``unsupported`` (feature), ``changed_base`` (init), ``modules_to_save`` (modules),
    ``rank_too_high`` (rank, maximum), ``unknown_module`` (module), ``half_module`` (module), ``wrong_shape`` (module,
    found, expected), ``empty``, ``base_unreadable`` (folder).
    """

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(f"{code} {params}" if params else code)
        self.code = code
        self.params: Mapping[str, str | int] = params


@dataclass(frozen=True, kw_only=True)
class AdapterFacts:
    """An adapter in numbers."""

    rank: int
    """The largest of its modules': what the server's ``max_lora_rank`` must reach."""
    alpha: float
    target_modules: tuple[str, ...]
    """The modules that have weights, by their last name, such as ``q_proj``."""
    parameters: int
    size_bytes: int
    base_model: str
    """As the adapter names it: a folder or a hub name, perhaps of another machine."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self) | {"target_modules": list(self.target_modules)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AdapterFacts":
        """The facts that ``to_json`` wrote."""
        return cls(**{**data, "target_modules": tuple(data["target_modules"])})


def inspect_adapter(folder: Path) -> AdapterFacts:
    """What the adapter in ``folder`` is. Raises AdapterProblem for all that makes it unservable on any base model."""
    _check_files(folder)
    config = _read_config(folder)
    _check_features(config)
    shapes = _read_weights(folder)
    modules = _modules(shapes)
    for (module, _), (a, b) in modules.items():
        _check_rank(module, a, b, config)
    return AdapterFacts(
        rank=max(a[0] for a, _ in modules.values()),
        alpha=float(config.get("lora_alpha", 8)),
        target_modules=tuple(sorted({name.rsplit(".", 1)[-1] for name, _ in modules})),
        parameters=sum(prod(shape) for shape in shapes.values()),
        size_bytes=(folder / WEIGHTS).stat().st_size,
        base_model=str(config.get("base_model_name_or_path") or ""),
    )


def check_adapter(folder: Path, *, base: Path, max_lora_rank: int) -> AdapterFacts:
    """The facts of an adapter that a server of ``base`` with ``max_lora_rank`` serves. Raises AdapterProblem."""
    facts = inspect_adapter(folder)
    if facts.rank > max_lora_rank:
        raise AdapterProblem("rank_too_high", rank=facts.rank, maximum=max_lora_rank)
    try:
        base_shapes = read_shapes(base)
    except (CheckpointError, OSError) as exc:
        raise AdapterProblem("base_unreadable", folder=str(base)) from exc
    is_transposed = bool(_read_config(folder).get("fan_in_fan_out"))
    for (module, is_embedding), (a, b) in _modules(_read_weights(folder)).items():
        _check_fit(module, a, b, base_shapes.get(f"{module}.weight"), flipped=is_embedding or is_transposed)
    return facts


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise AdapterProblem("no_folder", folder=str(folder))
    if not (folder / CONFIG).is_file() and (folder / "config.json").is_file():
        raise AdapterProblem("full_checkpoint", folder=str(folder))
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise AdapterProblem("missing_file", file=name, folder=str(folder))


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except ValueError as exc:
        raise AdapterProblem("damaged", file=CONFIG) from exc
    if not isinstance(config, dict):
        raise AdapterProblem("damaged", file=CONFIG)
    return config


def _check_features(config: Mapping[str, Any]) -> None:
    if config.get("peft_type", "LORA") != "LORA":
        raise AdapterProblem("not_lora", kind=str(config["peft_type"]))
    for name, feature in _UNSUPPORTED.items():
        if config.get(name):
            raise AdapterProblem("unsupported", feature=feature)
    if config.get("bias", "none") != "none":
        raise AdapterProblem("unsupported", feature="bias")
    if config.get("modules_to_save"):
        raise AdapterProblem("modules_to_save", modules=", ".join(map(str, config["modules_to_save"])))
    init = str(config.get("init_lora_weights", True))
    if init.lower() not in _HARMLESS_INITS:
        raise AdapterProblem("changed_base", init=init)


_UNSUPPORTED = {
    "use_dora": "DoRA",
    "lora_bias": "lora_bias",
    "alora_invocation_tokens": "aLoRA",
    "layer_replication": "layer_replication",
    "use_bdlora": "BD-LoRA",
    "use_qalora": "QALoRA",
    "trainable_token_indices": "trainable_token_indices",
    "target_parameters": "target_parameters",
}
"""Keys of adapter_config.json that ask for what vLLM does not do, and how people call it."""


def _read_weights(folder: Path) -> Shapes:
    try:
        return file_shapes(folder / WEIGHTS)
    except (CheckpointError, OSError) as exc:
        raise AdapterProblem("damaged", file=WEIGHTS) from exc


def _modules(shapes: Shapes) -> dict[tuple[str, bool], tuple[tuple[int, ...], tuple[int, ...]]]:
    """(module's name in the base model, whether it is an embedding) -> the shapes of A and B."""
    modules = {}
    left = dict(shapes)
    for name in shapes:
        for end_a, end_b in _A_B:
            if name.endswith(end_a) and name.removesuffix(end_a) + end_b in left:
                path = name.removesuffix(end_a)
                modules[path.removeprefix(_PREFIX), end_a == ".lora_embedding_A"] = (
                    left.pop(name),
                    left.pop(path + end_b),
                )
    if left:
        raise _stray(next(iter(left)))
    if not modules:
        raise AdapterProblem("empty")
    return modules


def _stray(name: str) -> AdapterProblem:
    """A tensor that is no half of a pair."""
    short = name.removeprefix(_PREFIX)
    if ".lora_magnitude_vector" in name:
        return AdapterProblem("unsupported", feature="DoRA")
    if ".lora_" in name:
        return AdapterProblem("half_module", module=short.split(".lora_")[0])
    return AdapterProblem("modules_to_save", modules=short.removesuffix(".weight"))


def _check_rank(module: str, a: tuple[int, ...], b: tuple[int, ...], config: Mapping[str, Any]) -> None:
    """VLLM scales by the configuration's rank: where the weights have another, it answers wrongly without a word."""
    rank = int(config.get("r", 8))
    if a[0] not in (rank, *(config.get("rank_pattern") or {}).values()):
        expected = f"{(rank, *a[1:])} {(*b[:-1], rank)}"
        raise AdapterProblem("wrong_shape", module=module, found=f"{a} {b}", expected=expected)


def _check_fit(
    module: str, a: tuple[int, ...], b: tuple[int, ...], base: tuple[int, ...] | None, *, flipped: bool
) -> None:
    """A is (rank, in), B is (out, rank), for a base weight (out, in), or (in, out) where it is ``flipped``."""
    if base is None or len(base) != 2:
        raise AdapterProblem("unknown_module", module=module)
    wide_out, wide_in = reversed(base) if flipped else base
    expected = ((a[0], wide_in), (wide_out, a[0]))
    if (a, b) != expected:
        raise AdapterProblem("wrong_shape", module=module, found=f"{a} {b}", expected=f"{expected[0]} {expected[1]}")
