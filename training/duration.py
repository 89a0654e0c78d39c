"""How long a training takes: floating-point operations over what the hardware really does of them."""

import math
from dataclasses import dataclass

from training.facts import Facts
from training.memory import available_bytes, embedding_parameters, recomputes_activations, trained_layers
from training.spec import TrainingSpec
from training.steps import Course, mean_longest

CORE_FLOPS = 50e9
"""Of one CPU core in single precision, in such trainings (measured: 26e9 on a busy core, 52e9 on a free one)."""
CORE_SCALING = 0.75
"""n cores do n^0.75 of one's work: two were measured 1.4 to 1.8 times faster than one on an idle machine."""
GPU_FLOPS = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("H20", 148e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A40", 150e12),
    ("A30", 165e12),
    ("A10", 125e12),
    ("V100", 112e12),
    ("T4", 65e12),
    ("5090", 210e12),
    ("4090", 165e12),
    ("3090", 71e12),
)
"""Dense half-precision peaks of Nvidia's data sheets, by a part of the card's name; the first that fits counts."""
OTHER_GPU_FLOPS = 60e12
GPU_UTILISATION = 0.30
"""The share of its peak that a card reaches in such trainings."""
LAYER_SECONDS = 0.002
"""What a layer costs a batch beside its arithmetic: the calls themselves (measured with a tiny model)."""
START_SECONDS = (10.0, 40.0)
"""Importing torch and TRL, on an idle and on a busy machine; loading and saving come on top."""
DISK_BYTES_PER_SECOND = 300e6
EVALUATIONS = 10
"""How often the trainer measures the validation loss in a run; a forward pass is about a third of a training step."""
LOW, HIGH = 0.6, 1.7
"""How far the real time may be from the calculated one."""


@dataclass(frozen=True, kw_only=True)
class Duration:
    """A range, in seconds."""

    low: float
    high: float


def flops_per_token(spec: TrainingSpec, facts: Facts, *, tokens: float) -> float:
    """Operations that a token of a row of ``tokens`` costs, forward and backward.

    Forward 2 N + 4 n_layer n_ctx d_model (Kaplan et al. 2020, section 2.1, attention's two products in full), N the
    parameters that multiply. The backward pass does twice that, half of it for the weights' own gradients, which
    LoRA's frozen base does not need: 4 N in all. Recomputed activations cost another forward.
    """
    model = facts.model
    matrices = model.parameters - embedding_parameters(model)
    head = model.vocabulary * model.hidden_size
    attention = 4 * model.layers * tokens * model.hidden_size
    forward = 2 * (matrices + head) + attention
    if spec.method == "full":
        backward = 2 * forward
    elif spec.method == "lora":
        backward = forward
    else:
        backward = 2 * head + 2 * (2 * matrices + attention) * trained_layers(model) / model.layers
    recomputes = recomputes_activations(spec, model, free_bytes=available_bytes(spec, facts))
    return forward + backward + (forward if recomputes else 0.0)


def flops_per_second(spec: TrainingSpec, facts: Facts) -> float:
    """What all that train together do in a second."""
    cards = facts.machine.gpus[: spec.gpus_per_node]
    if not cards:
        cores = min(spec.cpu, facts.machine.cores)
        slowdown = 1.0 if spec.compute_type == "fp32" else 1 / 7.6
        return CORE_FLOPS * math.pow(cores, CORE_SCALING) * slowdown * spec.nodes
    slowest = min(gpu_flops(card.name) for card in cards)
    slowdown = 0.15 if spec.compute_type == "fp32" else 1.0
    return slowest * GPU_UTILISATION * slowdown * len(cards) * spec.nodes


def gpu_flops(name: str) -> float:
    """A card's half-precision peak by its name."""
    return next((flops for part, flops in GPU_FLOPS if part in name), OTHER_GPU_FLOPS)


def seconds_per_row(spec: TrainingSpec, facts: Facts) -> float:
    """What a row of the training set costs, padded as its batch is."""
    tokens = mean_longest(facts.data, spec.batch_size, spec.cutoff_length)
    arithmetic = tokens * flops_per_token(spec, facts, tokens=tokens) / flops_per_second(spec, facts)
    return arithmetic + LAYER_SECONDS * facts.model.layers / (spec.batch_size * spec.processes)


def duration(spec: TrainingSpec, facts: Facts, course: Course) -> Duration:
    """From the start of the process to the saved model."""
    row = seconds_per_row(spec, facts)
    evaluations = min(EVALUATIONS, course.steps // spec.logging_steps)
    work = row * (course.training_rows * spec.epochs + course.validation_rows * evaluations / 3)
    files = 2 * facts.model.size_bytes / DISK_BYTES_PER_SECOND
    return Duration(low=LOW * work + START_SECONDS[0] + files, high=HIGH * work + START_SECONDS[1] + 2 * files)
