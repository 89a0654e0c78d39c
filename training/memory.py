"""How much memory a training needs at its worst step: weights, gradients, optimizer, activations, logits."""

from training.facts import Facts
from training.spec import FROZEN_METHOD_TRAINED_LAYERS, TrainingSpec

PROCESS_BYTES = 1_100_000_000
"""A Python process with torch, transformers, TRL and PEFT in it, on the CPU (measured)."""
CUDA_CONTEXT_BYTES = 1_000_000_000
LINEAR_LAYERS = 7
"""Adapted matrices of a layer: query, key, value, output, gate, up, down."""
LOGIT_COPIES = 4.0
"""The logits in full precision, their gradient and the temporaries of the loss (measured)."""
MAIN_WEIGHT_BYTES = {"none": 0.0, "int8": 1.1, "int4": 0.6}
"""Bytes a parameter of a quantized base, its constants and what stays unquantized included."""
ADAM_STATE_BYTES = 8
OPTIMIZER_STATE_BYTES = {
    "adafactor": 0.1,
    "sgd": 0.0,
    "adagrad": 4.0,
    "rmsprop": 4.0,
    "adamw_8bit": 2.0,
    "paged_adamw_8bit": 2.0,
    "lion": 4.0,
    "lion_8bit": 1.0,
}


def trained_parameters(spec: TrainingSpec, facts: Facts) -> int:
    """How many parameters learn.

    LoRA adds r (n_in + n_out) for each adapted matrix (Hu et al. 2021, section 4.1); here all linear layers, with key
    and value as wide as the query, which is at most a little too much.
    """
    model = facts.model
    if spec.method == "full":
        return model.parameters
    if spec.method == "freeze":
        return trained_layers(facts) * _layer_parameters(facts)
    sides = 4 * 2 * model.hidden_size + 3 * (model.hidden_size + model.intermediate_size)
    return model.layers * spec.lora_rank * sides


def trained_layers(facts: Facts) -> int:
    """How many layers the method ``freeze`` trains."""
    return min(FROZEN_METHOD_TRAINED_LAYERS, facts.model.layers)


def embedding_parameters(facts: Facts) -> int:
    """Parameters of the embedding, and of an output layer of its own."""
    tables = 1 if facts.model.has_tied_embeddings else 2
    return tables * facts.model.vocabulary * facts.model.hidden_size


def peak_bytes(spec: TrainingSpec, facts: Facts) -> int:
    """Memory at the worst step: of each card, or of this machine where the CPU trains."""
    longest = min(spec.cutoff_length, max(1, facts.data.longest))
    tokens = spec.batch_size * longest
    fixed = CUDA_CONTEXT_BYTES if spec.gpus_per_node else PROCESS_BYTES
    needed = fixed + _state_bytes(spec, facts) + tokens * _token_bytes(spec, facts)
    return round(needed)


def available_bytes(spec: TrainingSpec, facts: Facts) -> int:
    """What there is for it now: of the smallest card that would be used, or of main memory."""
    cards = facts.machine.gpus[: spec.gpus_per_node]
    if cards:
        return min(card.free_memory_bytes for card in cards)
    return facts.machine.available_memory_bytes


def total_bytes(spec: TrainingSpec, facts: Facts) -> int:
    """What there is at most, were nothing else running."""
    cards = facts.machine.gpus[: spec.gpus_per_node]
    return min(card.memory_bytes for card in cards) if cards else facts.machine.memory_bytes


def _layer_parameters(facts: Facts) -> int:
    return (facts.model.parameters - embedding_parameters(facts)) // facts.model.layers


def _state_bytes(spec: TrainingSpec, facts: Facts) -> float:
    """Weights, and for what is trained gradients and optimizer states.

    Mixed precision keeps a full-precision copy of what is trained (Rajbhandari et al. 2019, ZeRO, section 3.1: 16
    bytes a parameter with Adam).
    """
    trained = trained_parameters(spec, facts)
    base = facts.model.parameters
    if spec.method == "lora":
        weights = base * (_weight_bytes(spec) if spec.quantization == "none" else MAIN_WEIGHT_BYTES[spec.quantization])
        weights += 4 * trained
    elif spec.method == "full":
        weights = 4.0 * base
    else:
        weights = (base - trained) * _weight_bytes(spec) + 4.0 * trained
    return weights + trained * (4 + OPTIMIZER_STATE_BYTES.get(spec.optimizer, ADAM_STATE_BYTES))


def _weight_bytes(spec: TrainingSpec) -> float:
    return 4.0 if spec.compute_type == "fp32" else 2.0


def _token_bytes(spec: TrainingSpec, facts: Facts) -> float:
    """What a token of the batch keeps until the backward pass.

    A layer keeps about 17 hidden vectors (Korthikanti et al. 2022, section 4.1: 34 bytes times the hidden size in half
    precision, without attention's own matrices, which the fused kernel does not keep), of which the feed-forward part
    scales with its width. With LoRA, dropout keeps its own copy of each adapted matrix's input. On a GPU layers are
    recomputed, so that of each only its input stays.
    """
    model = facts.model
    element = _weight_bytes(spec)
    inner = 11 * model.hidden_size + 4 * model.intermediate_size
    if spec.method == "lora":
        copies = 2 if spec.lora_dropout > 0 else 1
        inner += copies * (5 * model.hidden_size + 2 * model.intermediate_size)
    if spec.gpus_per_node:
        kept = model.layers * model.hidden_size + inner
    elif spec.method == "freeze":
        kept = trained_layers(facts) * inner
    else:
        kept = model.layers * inner
    return kept * element + LOGIT_COPIES * 4 * model.vocabulary
