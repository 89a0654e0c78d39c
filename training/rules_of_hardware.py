"""Rules about what the machine has: cards, cores, memory, disk, number formats, time."""

import math
from collections.abc import Iterator

from training.findings import Case, Finding, Rule, refuse, warn
from training.memory import total_bytes, trained_parameters
from training.places import GIB
from training.presets import fits
from training.spec import TrainingSpec, Value

LONG_RUN_SECONDS = 12 * 3600
KEPT_CHECKPOINTS = 3
"""How many checkpoints lie on the disk at a time, the one being written included."""


def places(case: Case) -> Iterator[Finding]:
    """No more machines, cards and cores than there are."""
    spec, machine = case.spec, case.facts.machine
    if spec.nodes > 1 and not machine.is_cluster:
        yield refuse("one_machine", {"nodes": 1}, nodes=spec.nodes)
    if spec.gpus_per_node > len(machine.gpus):
        found = len(machine.gpus)
        code = "too_many_gpus" if found else "no_gpu"
        remedy = {"gpus_per_node": found} | ({} if found else {"compute_type": "fp32"})
        yield refuse(code, remedy, wanted=spec.gpus_per_node, found=found)
    if spec.cpu > machine.cores and not machine.is_cluster:
        yield warn("too_many_cores", {"cpu": machine.cores}, wanted=spec.cpu, found=machine.cores)


def pods(case: Case) -> Iterator[Finding]:
    """In a cluster the cores and the memory asked for are a limit: a node must have them, and they must suffice."""
    spec, machine = case.spec, case.facts.machine
    if not machine.is_cluster:
        return
    largest_gib = machine.memory_bytes // GIB
    if spec.cpu > machine.cores:
        yield refuse("node_cores", {"cpu": machine.cores}, wanted=spec.cpu, found=machine.cores)
    if spec.memory_gib > largest_gib:
        yield refuse("node_memory", {"memory_gib": largest_gib}, wanted=spec.memory_gib, found=largest_gib)
    needed_gib = math.ceil(case.foreseen.memory_bytes / GIB)
    if not spec.gpus_per_node and spec.memory_gib < needed_gib <= largest_gib:
        yield refuse("pod_memory", {"memory_gib": needed_gib}, wanted=spec.memory_gib, needed=needed_gib)


def number_format(case: Case) -> Iterator[Finding]:
    """The compute type that the hardware has."""
    spec = case.spec
    if not spec.gpus_per_node and spec.compute_type == "fp16":
        yield refuse("fp16_needs_gpu", {"compute_type": "fp32"})
    if not spec.gpus_per_node and spec.compute_type == "bf16":
        yield warn("bf16_is_slow_on_cpu", {"compute_type": "fp32"})
    cards = case.facts.machine.gpus[: spec.gpus_per_node]
    without = [card.name for card in cards if not card.supports_bf16]
    if spec.compute_type == "bf16" and without:
        yield refuse("bf16_not_on_this_gpu", {"compute_type": "fp16"}, gpu=without[0])


def memory(case: Case) -> Iterator[Finding]:
    """Whether it fits: refused above everything there is, warned of above what is free now."""
    needed, available = case.foreseen.memory_bytes, case.foreseen.available_bytes
    total = total_bytes(case.spec, case.facts)
    if needed <= available:
        return
    remedy = _smaller(case)
    if needed > total:
        yield refuse("memory_too_small", remedy, needed_bytes=needed, total_bytes=total)
    else:
        yield warn("memory_is_taken", remedy, needed_bytes=needed, available_bytes=available)


def _smaller(case: Case) -> dict[str, Value] | None:
    """The least change after which it fits: smaller batches for the same step, then LoRA, then a 4-bit base."""
    batches = _smaller_batch(case.spec, case)
    if batches is not None:
        return batches
    for change in _lighter_methods(case):
        spec = case.spec.model_copy(update=change)
        if fits(spec, case.facts):
            return change
        smallest = _smaller_batch(spec, case)
        if smallest is not None:
            return change | smallest
    return None


def _smaller_batch(spec: TrainingSpec, case: Case) -> dict[str, Value] | None:
    batch = spec.batch_size
    while batch > 1:
        batch //= 2
        if fits(spec.model_copy(update={"batch_size": batch}), case.facts):
            rows = spec.batch_size * spec.gradient_accumulation
            return {"batch_size": batch, "gradient_accumulation": max(1, round(rows / batch))}
    return None


def _lighter_methods(case: Case) -> Iterator[dict[str, Value]]:
    if case.spec.method != "lora":
        yield {"method": "lora"}
    if case.spec.gpus_per_node and "bitsandbytes" in case.facts.machine.packages:
        yield {"method": "lora", "quantization": "int4", "quantization_method": "bnb"}


def disk(case: Case) -> Iterator[Finding]:
    """Room for the checkpoints (what is saved of the weights, and Adam's two states of what learns) and the model."""
    trained = trained_parameters(case.spec, case.facts.model)
    model = 4 * (trained if case.spec.method == "lora" else case.facts.model.parameters)
    needed = KEPT_CHECKPOINTS * (model + 8 * trained) + model
    free = case.facts.machine.free_disk_bytes
    if needed > free:
        remedy: dict[str, Value] | None = {"method": "lora"} if case.spec.method != "lora" else None
        yield refuse("disk_too_small", remedy, needed_bytes=needed, free_bytes=free)


def time(case: Case) -> Iterator[Finding]:
    """Runs of more than half a day are worth a second look."""
    seconds = case.foreseen.seconds_low
    if seconds > LONG_RUN_SECONDS and case.foreseen.training_rows:
        rows = max(100, int(case.foreseen.training_rows * LONG_RUN_SECONDS / case.foreseen.seconds_high))
        remedy: dict[str, Value] | None = {"max_samples": rows} if rows < case.foreseen.training_rows else None
        yield warn("run_is_long", remedy, low_seconds=seconds, high_seconds=case.foreseen.seconds_high)


HARDWARE_RULES: tuple[Rule, ...] = (places, pods, number_format, memory, disk, time)
