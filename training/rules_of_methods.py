"""Rules about what goes together: stage, method, quantization, acceleration, adapters that can be served."""

from collections.abc import Iterator

from training.findings import Case, Finding, Rule, note, refuse, warn

BITSANDBYTES_OPTIMIZERS = frozenset({"adamw_8bit", "paged_adamw_8bit", "lion", "lion_8bit"})
"""Optimizers whose code is in bitsandbytes."""
USUAL_SCALING = (0.5, 4.0)
"""Alpha over rank: outside of this the adapter learns hardly, or wildly."""
HIGH_LR_RATIO = 64.0


def stage(case: Case) -> Iterator[Finding]:
    """Which stages can run."""
    spec = case.spec
    if spec.stage != "sft":
        yield refuse("stage_not_here", {"stage": "sft"}, stage=spec.stage)
    if spec.stage == "kto" and spec.batch_size < 2:
        yield refuse("kto_batch", {"batch_size": 2})


def template(case: Case) -> Iterator[Finding]:
    """Rows are rendered by the model's own template."""
    if not case.facts.model.has_chat_template:
        yield refuse("no_chat_template", model=case.facts.model.name)


def quantization(case: Case) -> Iterator[Finding]:
    """Which quantized bases can be trained."""
    spec, packages = case.spec, case.facts.machine.packages
    if spec.quantization == "none":
        return
    off = {"quantization": "none"}
    if spec.method != "lora":
        yield refuse("quantization_needs_lora", {"method": "lora"}, method=spec.method)
    if spec.quantization_method == "hqq":
        yield refuse("hqq_cannot_be_trained", {"quantization_method": "bnb"})
    elif spec.quantization_method == "eetq" and spec.quantization != "int8":
        yield refuse("eetq_is_int8", {"quantization_method": "bnb"})
    elif spec.quantization_method == "eetq" and not spec.gpus_per_node:
        yield refuse("eetq_needs_gpu", off)
    elif spec.quantization_method == "eetq":
        yield refuse("eetq_not_here", {"quantization_method": "bnb"})
    elif spec.quantization_method == "bnb" and "bitsandbytes" not in packages:
        yield refuse("quantization_needs_package", off, package="bitsandbytes")


def acceleration(case: Case) -> Iterator[Finding]:
    """What acceleration the hardware and the installed packages allow."""
    spec, machine = case.spec, case.facts.machine
    off = {"acceleration": "none"}
    if spec.acceleration == "unsloth":
        yield refuse("unsloth_not_here", off)
    elif spec.acceleration == "flash_attention_2" and not spec.gpus_per_node:
        yield refuse("flash_attention_needs_gpu", off)
    elif spec.acceleration == "flash_attention_2" and spec.compute_type == "fp32":
        yield refuse("flash_attention_needs_half", {"compute_type": "bf16"})
    elif spec.acceleration == "flash_attention_2" and "flash_attn" not in machine.packages:
        yield refuse("acceleration_needs_package", off, acceleration="flash_attention_2", package="flash-attn")
    elif spec.acceleration == "liger" and not spec.gpus_per_node:
        yield refuse("liger_needs_gpu", off)
    elif spec.acceleration == "liger" and "liger_kernel" not in machine.packages:
        yield refuse("acceleration_needs_package", off, acceleration="liger", package="liger-kernel")


def optimizer(case: Case) -> Iterator[Finding]:
    """Optimizers that need a package, or other rates."""
    spec = case.spec
    if spec.optimizer in BITSANDBYTES_OPTIMIZERS and "bitsandbytes" not in case.facts.machine.packages:
        yield refuse("optimizer_needs_package", {"optimizer": "adamw"}, optimizer=spec.optimizer)
    if spec.optimizer == "sgd" and spec.learning_rate < 0.01:
        yield warn("sgd_is_slow", {"optimizer": "adamw"}, learning_rate=spec.learning_rate)


def adapter(case: Case) -> Iterator[Finding]:
    """LoRA values that cannot be served, or mean something else than they seem to."""
    spec = case.spec
    if spec.method != "lora":
        return
    if spec.lora_rank > case.max_lora_rank:
        remedy = {"lora_rank": case.max_lora_rank}
        yield refuse("rank_cannot_be_served", remedy, rank=spec.lora_rank, maximum=case.max_lora_rank)
    scaling = spec.lora_alpha / spec.lora_rank
    if not USUAL_SCALING[0] <= scaling <= USUAL_SCALING[1]:
        usual = {"lora_alpha": 2 * spec.lora_rank}
        yield warn("lora_scaling_unusual", usual, alpha=spec.lora_alpha, rank=spec.lora_rank, scaling=scaling)
    if spec.lora_lr_ratio is not None and spec.lora_lr_ratio < 1:
        yield note("lora_lr_ratio_slows", {"lora_lr_ratio": None}, ratio=spec.lora_lr_ratio)
    if spec.lora_lr_ratio is not None and spec.lora_lr_ratio > HIGH_LR_RATIO:
        yield warn("lora_lr_ratio_high", {"lora_lr_ratio": 16.0}, ratio=spec.lora_lr_ratio)
    if spec.lora_dropout > 0.5:
        yield warn("lora_dropout_high", {"lora_dropout": 0.1}, dropout=spec.lora_dropout)


METHOD_RULES: tuple[Rule, ...] = (stage, template, quantization, acceleration, optimizer, adapter)
