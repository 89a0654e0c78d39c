"""The model of a plan: the base checkpoint, with what of it is trained."""

import math
import os
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from training.checkpoints import inspect_checkpoint
from training.memory import recomputes_activations
from training.spec import FROZEN_METHOD_TRAINED_LAYERS, TrainingSpec
from training.trainer.exits import BadConfiguration

Trainable = PreTrainedModel | PeftModel
"""What is handed to the trainer: a whole model, or one with an adapter."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ATTENTION = {"flash_attention_2": "flash_attention_2"}


def build_model(folder: Path, spec: TrainingSpec) -> Trainable:
    """The checkpoint in ``folder`` with the parameters that ``spec`` trains. Raises BadConfiguration."""
    config = AutoConfig.from_pretrained(folder)
    scale_rope(config, spec)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=_loading_dtype(spec),
        attn_implementation=_ATTENTION.get(spec.acceleration, "sdpa"),
        quantization_config=_quantization(spec),
    )
    if spec.method == "lora":
        return add_lora(model, spec)
    if spec.method == "freeze":
        freeze(model)
    return model


def check_means(spec: TrainingSpec) -> None:
    """Raise BadConfiguration for what this trainer or this machine cannot do."""
    has_gpu = torch.cuda.is_available()
    refusals = {
        f"the stage {spec.stage} is not built": spec.stage != "sft",
        "several machines need a cluster": int(os.environ.get("WORLD_SIZE", "1")) != spec.processes,
        "fp16 needs a GPU: take bf16 or fp32": spec.compute_type == "fp16" and not has_gpu,
        "quantization is for LoRA only": spec.quantization != "none" and spec.method != "lora",
        "HQQ models cannot be trained: take bnb": _quantized_by(spec, "hqq"),
        "EETQ knows int8 only: take bnb for int4": _quantized_by(spec, "eetq") and spec.quantization == "int4",
        "EETQ needs a GPU and a package that is not installed: take bnb": _quantized_by(spec, "eetq"),
        "Unsloth needs an environment of its own": spec.acceleration == "unsloth",
        "FlashAttention 2 needs a GPU": spec.acceleration == "flash_attention_2" and not has_gpu,
        "FlashAttention 2 needs bf16 or fp16": spec.acceleration == "flash_attention_2" and spec.compute_type == "fp32",
    }
    for sentence, applies in refusals.items():
        if applies:
            raise BadConfiguration(sentence)


def scale_rope(config: PretrainedConfig, spec: TrainingSpec) -> None:
    """Stretch the model's context to the cutoff length, where it is shorter and the plan asks for it.

    The factor is LLaMA-Factory's: the cutoff length over the context, rounded up.
    """
    context: int = config.max_position_embeddings
    if spec.rope_scaling == "none" or spec.cutoff_length <= context:
        return
    factor = math.ceil(spec.cutoff_length / context)
    old = dict(getattr(config, "rope_parameters", None) or {})
    new: dict[str, Any] = {**old, "rope_type": spec.rope_scaling, "factor": float(factor)}
    if spec.rope_scaling in ("dynamic", "yarn"):
        new["original_max_position_embeddings"] = context
    config.rope_parameters = new
    config.max_position_embeddings = context * factor


def add_lora(model: PreTrainedModel, spec: TrainingSpec) -> PeftModel:
    """The model with an adapter on every linear layer but the head."""
    torch.manual_seed(spec.seed)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        target_modules="all-linear",
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,
        lora_dropout=spec.lora_dropout,
    )
    if spec.neftune_alpha is not None:
        # The noise is added to the embeddings' output; without this the frozen embeddings would cut it off.
        model.enable_input_require_grads()
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def freeze(model: PreTrainedModel) -> None:
    """Leave only the last layers to be trained."""
    layers = model.get_decoder().layers
    model.requires_grad_(False)
    for layer in layers[-FROZEN_METHOD_TRAINED_LAYERS:]:
        layer.requires_grad_(True)


def build_optimizer(model: Trainable, spec: TrainingSpec, args: TrainingArguments) -> torch.optim.Optimizer | None:
    """LoRA+'s optimizer where the plan asks for it; none leaves it to the trainer."""
    if not isinstance(model, PeftModel) or spec.lora_lr_ratio is None:
        return None
    optimizer, options = Trainer.get_optimizer_cls_and_kwargs(args)
    options.pop("lr", None)
    return create_loraplus_optimizer(
        model, optimizer, lr=spec.learning_rate, loraplus_lr_ratio=spec.lora_lr_ratio, **options
    )


def saves_memory(folder: Path, spec: TrainingSpec) -> bool:
    """Whether activations are computed twice instead of kept; to be asked before the model takes its memory."""
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
    return recomputes_activations(spec, inspect_checkpoint(folder), free_bytes=free)


def _loading_dtype(spec: TrainingSpec) -> torch.dtype:
    # Weights that are trained are kept in 32 bits, whatever the arithmetic; frozen ones in the arithmetic's own type.
    return _DTYPES[spec.compute_type] if spec.method == "lora" else torch.float32


def _quantized_by(spec: TrainingSpec, method: str) -> bool:
    return spec.quantization != "none" and spec.quantization_method == method


def _quantization(spec: TrainingSpec) -> BitsAndBytesConfig | None:
    if spec.quantization == "none":
        return None
    if spec.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=_DTYPES[spec.compute_type],
    )
