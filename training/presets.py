"""What to propose: each preset's values, and what is computed from the model, the data and the machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from training.duration import seconds_per_row
from training.estimate import estimate
from training.facts import Facts as Facts
from training.memory import MEMORY_SHARE, available_bytes, peak_bytes, recomputes_activations
from training.spec import PARAMETERS, InvalidValue, TrainingSpec, Value, check_value
from training.steps import count_steps, taken_examples, validation_rows


class Preset(StrEnum):
    """How thorough."""

    QUICK = "quick"
    BALANCED = "balanced"
    BEST = "best"
    CUSTOM = "custom"
    """Balanced's proposals, each to be confirmed or changed."""


class Origin(StrEnum):
    """Where a value comes from."""

    YOU = "you"
    PRESET = "preset"
    COMPUTED = "computed"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole spec, and where each of its values comes from."""

    spec: TrainingSpec
    origins: Mapping[str, Origin]


class InvalidPlan(ValueError):
    """Given values that make no spec; ``problems`` says of each what is wrong."""

    def __init__(self, problems: tuple[InvalidValue, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a preset learns."""

    steps: int
    """Optimizer steps that small data should reach."""
    fewest_epochs: int
    most_epochs: int
    rank: int
    dropout: float
    learning_rates: Mapping[str, tuple[float, float]]
    """By method: for a base model below a billion parameters, and for a larger one."""


QUICK = Effort(
    steps=100,
    fewest_epochs=1,
    most_epochs=10,
    rank=8,
    dropout=0.0,
    learning_rates={"lora": (1e-3, 2e-4), "full": (1e-4, 2e-5), "freeze": (2e-4, 5e-5)},
)
BALANCED = Effort(
    steps=160,
    fewest_epochs=3,
    most_epochs=8,
    rank=8,
    dropout=0.1,
    learning_rates={"lora": (5e-4, 1e-4), "full": (5e-5, 1e-5), "freeze": (1e-4, 5e-5)},
)
BEST = Effort(
    steps=240,
    fewest_epochs=3,
    most_epochs=10,
    rank=16,
    dropout=0.1,
    learning_rates={"lora": (3e-4, 1e-4), "full": (3e-5, 1e-5), "freeze": (1e-4, 3e-5)},
)
EFFORTS = {Preset.QUICK: QUICK, Preset.BALANCED: BALANCED, Preset.BEST: BEST, Preset.CUSTOM: BALANCED}

QUICK_SECONDS = 600
"""What the work of a quick run may take on this machine, in the middle of the estimate."""
QUICK_FEWEST_VISITS = 240
"""Rows (times epochs) that a quick run trains however slow the machine is: fewer teach nothing."""
LONGEST_CUTOFF = 2048
WHOLE_ROWS = 0.99
"""The share of rows that the cutoff leaves whole."""
VALIDATED_FROM_ROWS = 100
VALIDATION_RATIO = 0.1
MOST_VALIDATION_ROWS = 1000
WARMUP_SHARE = 0.03
SHORT_SECONDS = 15 * 60
LONG_SECONDS = 4 * 3600


def make_plan(preset: Preset, given: Mapping[str, Value], facts: Facts) -> Plan:
    """Fill in everything that was not given.

    Computed values follow from those before them, so changing a given one changes them. Raises InvalidPlan where a
    given value is none that its parameter takes.
    """
    values = _checked(given)
    origins = dict.fromkeys(values, Origin.YOU)
    for name, value in _preset_values(EFFORTS[preset], values, facts).items():
        if name not in values:
            values[name], origins[name] = value, Origin.PRESET
    for name, compute in COMPUTED.items():
        if name not in origins:
            spec = TrainingSpec.model_validate(values)
            values[name], origins[name] = compute(preset, spec, facts), Origin.COMPUTED
    spec = TrainingSpec.model_validate(values)
    return Plan(spec=spec, origins={name: origins.get(name, Origin.PRESET) for name in PARAMETERS})


def recommend_preset(facts: Facts) -> tuple[Preset, str]:
    """The preset for a first run, and why: the code of a text ``preset_reason.<code>``."""
    balanced = make_plan(Preset.BALANCED, {}, facts).spec
    seconds = estimate(balanced, facts).seconds_high
    if seconds <= SHORT_SECONDS:
        return Preset.BALANCED, "short"
    if not facts.machine.gpus:
        return Preset.QUICK, "no_gpu"
    if seconds > LONG_SECONDS:
        return Preset.QUICK, "long"
    return Preset.BALANCED, "gpu"


def recommended_learning_rate(method: str, facts: Facts) -> float:
    """The balanced preset's."""
    return _learning_rate(BALANCED, method, facts)


def recommended_cutoff(facts: Facts, *, whole: float = WHOLE_ROWS, longest: int = LONGEST_CUTOFF) -> int:
    """The smallest power of two that leaves this share of the rows whole, within ``longest`` and the context."""
    needed = max(16, facts.data.percentile(whole) if facts.data.rows else 16)
    return min(1 << (needed - 1).bit_length(), longest, facts.model.context_tokens)


def recommended_save_steps(steps: int) -> int:
    """Four times a run, but at least every 500 steps."""
    return max(1, min(500, ceil(steps / 4)))


def recommended_warmup_steps(steps: int) -> int:
    """3 % of the run."""
    return round(WARMUP_SHARE * steps)


def recommended_logging_steps(steps: int) -> int:
    """Every ten steps; on a short run often enough for a curve of forty points."""
    return max(1, min(10, steps // 40))


def _checked(given: Mapping[str, Value]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    problems = []
    for name, value in given.items():
        try:
            values[name] = check_value(name, value)
        except InvalidValue as problem:
            problems.append(problem)
    if problems:
        raise InvalidPlan(tuple(problems))
    return values


def _preset_values(effort: Effort, values: Mapping[str, Value], facts: Facts) -> dict[str, Value]:
    """What differs from the parameters' own defaults."""
    method = str(values.get("method", "lora"))
    return {
        "learning_rate": _learning_rate(effort, method, facts),
        "lora_rank": effort.rank,
        "lora_alpha": 2 * effort.rank,
        "lora_dropout": effort.dropout,
    }


def _learning_rate(effort: Effort, method: str, facts: Facts) -> float:
    small, large = effort.learning_rates[method]
    return small if facts.is_small_model else large


def _compute_type(_: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    cards = facts.machine.gpus[: spec.gpus_per_node]
    if not cards:
        return "fp32"
    return "bf16" if all(card.supports_bf16 for card in cards) else "fp16"


def _cpu(_: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    return min(facts.machine.cores, 8) if spec.gpus_per_node else facts.machine.cores


def _wanted_batch(preset: Preset, facts: Facts) -> int:
    """Rows a step: 16 or so, fewer where the data is so small that too few steps would come of it."""
    if preset is Preset.QUICK and facts.is_small_model:
        return 4
    return 16 if facts.data.rows >= 1000 else 8 if facts.data.rows >= 300 else 4


def _batch_size(preset: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    """The largest power of two that memory and the wanted batch allow; computing activations twice is no way to it."""
    free = available_bytes(spec, facts)
    accumulation = spec.gradient_accumulation if "gradient_accumulation" in spec.model_fields_set else 1
    wanted = max(1, _wanted_batch(preset, facts) // (accumulation * spec.processes))
    best = 1
    while 2 * best <= wanted:
        larger = spec.model_copy(update={"batch_size": 2 * best})
        if recomputes_activations(larger, facts.model, free_bytes=free) or not fits(larger, facts):
            break
        best *= 2
    return best


def fits(spec: TrainingSpec, facts: Facts) -> bool:
    """Whether the run's memory is well within what is available."""
    return peak_bytes(spec, facts) <= MEMORY_SHARE * available_bytes(spec, facts)


def _accumulation(preset: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    return max(1, round(_wanted_batch(preset, facts) / (spec.batch_size * spec.processes)))


def _quick_visits(spec: TrainingSpec, facts: Facts) -> int:
    """Rows times epochs of a quick run: enough steps, within a time."""
    affordable = int(QUICK_SECONDS / seconds_per_row(spec, facts))
    return max(QUICK_FEWEST_VISITS, min(QUICK.steps * spec.effective_batch, affordable))


def _max_samples(preset: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    if preset is not Preset.QUICK:
        return None
    epochs = spec.epochs if "epochs" in spec.model_fields_set else 1
    rows = max(1, int(_quick_visits(spec, facts) / epochs))
    return rows if rows < facts.data.rows else None


def _validation_ratio(_: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    rows = taken_examples(spec.max_samples, facts.data)
    if rows < VALIDATED_FROM_ROWS:
        return 0.0
    return float(f"{min(VALIDATION_RATIO, MOST_VALIDATION_ROWS / rows):.2g}")


def _epochs(preset: Preset, spec: TrainingSpec, facts: Facts) -> Value:
    effort = EFFORTS[preset]
    rows = taken_examples(spec.max_samples, facts.data)
    rows -= validation_rows(spec.validation_ratio, rows)
    visits = _quick_visits(spec, facts) if preset is Preset.QUICK else effort.steps * spec.effective_batch
    return float(min(effort.most_epochs, max(effort.fewest_epochs, round(visits / max(1, rows)))))


def _from_steps(compute: Callable[[int], int]) -> "Compute":
    return lambda _, spec, facts: compute(count_steps(spec, facts.data).steps)


Compute = Callable[[Preset, TrainingSpec, Facts], Value]
COMPUTED: Mapping[str, Compute] = {
    "gpus_per_node": lambda _, __, facts: min(1, len(facts.machine.gpus)),
    "cpu": _cpu,
    "memory_gib": lambda _, __, facts: max(1, facts.machine.memory_bytes >> 30),
    "compute_type": _compute_type,
    "cutoff_length": lambda _, __, facts: recommended_cutoff(facts),
    "batch_size": _batch_size,
    "gradient_accumulation": _accumulation,
    "max_samples": _max_samples,
    "validation_ratio": _validation_ratio,
    "epochs": _epochs,
    "warmup_steps": _from_steps(recommended_warmup_steps),
    "save_steps": _from_steps(recommended_save_steps),
    "logging_steps": _from_steps(recommended_logging_steps),
}
"""How each is computed; each may look at all before it."""
