"""How much memory a training needs at its worst step: weights, gradients, optimizer, activations, logits."""

from training.checkpoints import CheckpointFacts
from training.facts import Facts
from training.spec import FROZEN_METHOD_TRAINED_LAYERS, TrainingSpec

PROCESS_BYTES = 1_100_000_000
"""A Python process with torch, transformers, TRL and PEFT in it, on the CPU (measured)."""
CUDA_CONTEXT_BYTES = 1_000_000_000
LOGIT_COPIES = 4.0
"""The logits in full precision, their gradient and the temporaries of the loss (measured)."""
QUANTIZED_WEIGHT_BYTES = {"int8": 1.1, "int4": 0.6}
"""Bytes a parameter of a quantized base, its constants and what stays unquantized included."""
MEMORY_SHARE = 0.8
"""Of what is available; the rest is for what the estimate does not know."""
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


def trained_parameters(spec: TrainingSpec, model: CheckpointFacts) -> int:
    """How many parameters learn.

    LoRA adds r (n_in + n_out) for each adapted matrix (Hu et al. 2021, section 4.1), here the seven linear ones of a
    layer: query, key, value and output (key and value taken as wide as the query, at most a little too much), gate, up
    and down.
    """
    if spec.method == "full":
        return model.parameters
    if spec.method == "freeze":
        return trained_layers(model) * _layer_parameters(model)
    sides = 4 * 2 * model.hidden_size + 3 * (model.hidden_size + model.intermediate_size)
    return model.layers * spec.lora_rank * sides


def trained_layers(model: CheckpointFacts) -> int:
    """How many layers the method ``freeze`` trains."""
    return min(FROZEN_METHOD_TRAINED_LAYERS, model.layers)


def embedding_parameters(model: CheckpointFacts) -> int:
    """Parameters of the embedding, and of an output layer of its own."""
    tables = 1 if model.has_tied_embeddings else 2
    return tables * model.vocabulary * model.hidden_size


def peak_bytes(spec: TrainingSpec, facts: Facts) -> int:
    """Memory at the worst step: of each card, or of this machine where the CPU trains."""
    longest = min(spec.cutoff_length, max(1, facts.data.longest))
    tokens = spec.batch_size * longest
    fixed = CUDA_CONTEXT_BYTES if spec.gpus_per_node else PROCESS_BYTES
    recomputes = recomputes_activations(spec, facts.model, free_bytes=available_bytes(spec, facts))
    return round(
        fixed + _state_bytes(spec, facts.model) + tokens * _token_bytes(spec, facts.model, recomputes=recomputes)
    )


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


def _layer_parameters(model: CheckpointFacts) -> int:
    return (model.parameters - embedding_parameters(model)) // model.layers


def _state_bytes(spec: TrainingSpec, model: CheckpointFacts) -> float:
    """Weights, and for what is trained gradients and optimizer states.

    What is trained is kept in single precision: 16 bytes a parameter with Adam (Rajbhandari et al. 2019, ZeRO, section
    3.1). The frozen base of an adapter is loaded in the compute type.
    """
    trained = trained_parameters(spec, model)
    base = model.parameters
    if spec.method == "lora":
        weights = base * QUANTIZED_WEIGHT_BYTES.get(spec.quantization, _weight_bytes(spec)) + 4.0 * trained
    else:
        weights = 4.0 * base
    return weights + trained * (4 + OPTIMIZER_STATE_BYTES.get(spec.optimizer, ADAM_STATE_BYTES))


def _weight_bytes(spec: TrainingSpec) -> float:
    return 4.0 if spec.compute_type == "fp32" else 2.0


def recomputes_activations(spec: TrainingSpec, model: CheckpointFacts, *, free_bytes: int) -> bool:
    """Whether activations are computed twice instead of kept: where they would not fit beside weights and states.

    ``free_bytes``: of the card, or of main memory where the CPU trains, before the model is loaded.
    """
    tokens = spec.batch_size * spec.cutoff_length
    needed = _state_bytes(spec, model) + tokens * _token_bytes(spec, model, recomputes=False)
    return needed > MEMORY_SHARE * free_bytes


def _token_bytes(spec: TrainingSpec, model: CheckpointFacts, *, recomputes: bool) -> float:
    """What a token of the batch keeps until the backward pass.

    A layer keeps about 11 hidden vectors and 4 of the feed-forward's width (after Korthikanti et al. 2022, section
    4.1; the fused attention does not keep its matrices). With LoRA each adapted matrix keeps its input, and where
    there is dropout the thinned one too. Recomputed, of every layer but one only the input stays. The logits of the
    whole vocabulary come on top, in single precision.
    """
    inner = 11 * model.hidden_size + 4 * model.intermediate_size
    if spec.method == "lora":
        copies = 2 if spec.lora_dropout > 0 else 1
        inner += copies * (5 * model.hidden_size + 2 * model.intermediate_size)
    layers = trained_layers(model) if spec.method == "freeze" else model.layers
    kept = layers * inner
    if recomputes:
        kept = min(kept, model.layers * model.hidden_size + inner)
    return kept * _weight_bytes(spec) + LOGIT_COPIES * 4 * model.vocabulary
