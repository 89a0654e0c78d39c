"""``TrainingSpec``: the one place where a parameter is defined. Names and order are those of the customer's form."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict

from training import values
from training.parameters import Ask, OnlyIf, Parameter, Section, Value, parameters_of
from training.values import InvalidValue

__all__ = [
    "FROZEN_METHOD_TRAINED_LAYERS",
    "PARAMETERS",
    "InvalidValue",
    "Parameter",
    "Section",
    "TrainingSpec",
    "Value",
    "check_value",
    "format_value",
    "parse_value",
]

FROZEN_METHOD_TRAINED_LAYERS = 2
"""How many of the last layers the method ``freeze`` trains (LLaMA-Factory's default); a model with fewer trains all."""

Method = Literal["lora", "full", "freeze"]
Stage = Literal["pretrain", "sft", "reward", "ppo", "dpo", "kto", "orpo", "grpo"]
ComputeType = Literal["bf16", "fp16", "fp32"]
Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
]
Quantization = Literal["none", "int4", "int8"]
QuantizationMethod = Literal["bnb", "hqq", "eetq"]
RopeScaling = Literal["none", "linear", "dynamic", "yarn"]
Acceleration = Literal["none", "flash_attention_2", "unsloth", "liger"]
Optimizer = Literal[
    "adamw", "adafactor", "sgd", "adagrad", "rmsprop", "adamw_8bit", "paged_adamw_8bit", "lion", "lion_8bit"
]

_LORA = OnlyIf(name="method", values=("lora",))
_QUANTIZED = OnlyIf(name="quantization", values=("int4", "int8"))


class TrainingSpec(BaseModel):
    """Everything a training needs to know besides its data and its base model.

    It can say more than this version runs: ``training.rules.review`` refuses what cannot be, with the reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Annotated[
        Method,
        Ask(
            section=Section.BASICS,
            aliases={"qlora": "lora", "全参": "full", "全参数": "full", "全量": "full", "冻结": "freeze"},
        ),
    ] = "lora"
    stage: Annotated[
        Stage,
        Ask(
            section=Section.BASICS,
            aliases={
                "pt": "pretrain",
                "pretraining": "pretrain",
                "预训练": "pretrain",
                "supervised": "sft",
                "监督微调": "sft",
                "指令监督微调": "sft",
                "rm": "reward",
                "奖励模型": "reward",
            },
        ),
    ] = "sft"

    nodes: Annotated[int, Ge(1), Le(1024), Ask(section=Section.TASK)] = 1
    """Machines that work on this task together."""
    gpus_per_node: Annotated[int, Ge(0), Le(64), Ask(section=Section.TASK)] = 1
    """Cards of each machine; 0 trains on the CPU."""
    cpu: Annotated[int, Ge(1), Le(1024), Ask(section=Section.TASK)] = 8
    """Cores of each machine."""
    memory_gib: Annotated[int, Ge(1), Le(65536), Ask(section=Section.TASK)] = 16
    """Main memory of each machine, GiB."""

    learning_rate: Annotated[float, Gt(0), Le(1), Ask(section=Section.HYPERPARAMETERS, recommended=(1e-5, 1e-3))] = 1e-4
    epochs: Annotated[float, Gt(0), Le(1000), Ask(section=Section.HYPERPARAMETERS, recommended=(1, 10))] = 3.0
    max_grad_norm: Annotated[float, Ge(0), Le(1000), Ask(section=Section.HYPERPARAMETERS, recommended=(0.5, 1.0))] = 1.0
    """0 switches clipping off."""
    max_samples: Annotated[Annotated[int, Ge(1), Le(10**9)] | None, Ask(section=Section.HYPERPARAMETERS)] = None
    compute_type: Annotated[
        ComputeType,
        Ask(
            section=Section.HYPERPARAMETERS,
            aliases={"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"},
        ),
    ] = "fp32"
    cutoff_length: Annotated[int, Ge(16), Le(2**22), Ask(section=Section.HYPERPARAMETERS)] = 2048
    """In tokens of the base model's tokenizer, template included."""
    batch_size: Annotated[int, Ge(1), Le(4096), Ask(section=Section.HYPERPARAMETERS, recommended=(8, 64))] = 4
    """Rows a card (or the CPU) at a time."""
    gradient_accumulation: Annotated[int, Ge(1), Le(4096), Ask(section=Section.HYPERPARAMETERS, recommended=(1, 8))] = 4
    validation_ratio: Annotated[float, Ge(0), Lt(1), Ask(section=Section.HYPERPARAMETERS)] = 0.0
    scheduler: Annotated[
        Scheduler,
        Ask(
            section=Section.HYPERPARAMETERS,
            aliases={
                "余弦": "cosine",
                "余弦退火": "cosine",
                "线性": "linear",
                "线性衰减": "linear",
                "恒定": "constant",
            },
        ),
    ] = "cosine"

    lora_rank: Annotated[int, Ge(1), Le(512), Ask(section=Section.LORA, recommended=(4, 16), only_if=_LORA)] = 8
    lora_alpha: Annotated[int, Ge(1), Le(4096), Ask(section=Section.LORA, recommended=(8, 32), only_if=_LORA)] = 16
    lora_dropout: Annotated[float, Ge(0), Lt(1), Ask(section=Section.LORA, recommended=(0.1, 0.3), only_if=_LORA)] = 0.1
    lora_lr_ratio: Annotated[
        Annotated[float, Gt(0), Le(1000)] | None, Ask(section=Section.LORA, recommended=(0.5, 1.0), only_if=_LORA)
    ] = None
    """LoRA+: the learning rate of B over that of A."""

    quantization: Annotated[
        Quantization,
        Ask(
            section=Section.ADVANCED,
            only_if=_LORA,
            aliases={"4": "int4", "4bit": "int4", "4-bit": "int4", "8": "int8", "8bit": "int8", "8-bit": "int8"},
        ),
    ] = "none"
    quantization_method: Annotated[
        QuantizationMethod,
        Ask(
            section=Section.ADVANCED,
            only_if=_QUANTIZED,
            aliases={
                "bitsandbytes": "bnb",
                "bits-and-bytes": "bnb",
                "etqq": "eetq",
                "high quality quantization": "hqq",
                "half-quadratic quantization": "hqq",
                "extreme tiny quantization": "eetq",
            },
        ),
    ] = "bnb"
    rope_scaling: Annotated[RopeScaling, Ask(section=Section.ADVANCED)] = "none"
    acceleration: Annotated[
        Acceleration,
        Ask(
            section=Section.ADVANCED,
            aliases={
                "unslosh": "unsloth",
                "flashattention2": "flash_attention_2",
                "flashattention": "flash_attention_2",
                "flash attention": "flash_attention_2",
                "flash_attention": "flash_attention_2",
                "flash_attn": "flash_attention_2",
                "fa2": "flash_attention_2",
                "liger_kernel": "liger",
            },
        ),
    ] = "none"

    logging_steps: Annotated[int, Ge(1), Le(10**9), Ask(section=Section.OTHERS, recommended=(10, 1000))] = 10
    save_steps: Annotated[int, Ge(1), Le(10**9), Ask(section=Section.OTHERS, recommended=(1000, 5000))] = 500
    warmup_steps: Annotated[int, Ge(0), Le(10**9), Ask(section=Section.OTHERS, recommended=(500, 2000))] = 0
    neftune_alpha: Annotated[
        Annotated[float, Gt(0), Le(1000)] | None, Ask(section=Section.OTHERS, recommended=(5, 5))
    ] = None
    optimizer: Annotated[
        Optimizer,
        Ask(
            section=Section.OTHERS,
            aliases={
                "adam": "adamw",
                "adamw_torch": "adamw",
                "adamw_torch_fused": "adamw",
                "adamw_bnb_8bit": "adamw_8bit",
                "lion_32bit": "lion",
            },
        ),
    ] = "adamw"
    seed: Annotated[int, Ge(0), Le(2**32 - 1), Ask(section=Section.OTHERS)] = 42

    @property
    def processes(self) -> int:
        """How many processes train together: one a card, or one a machine without cards."""
        return self.nodes * max(1, self.gpus_per_node)

    @property
    def effective_batch(self) -> int:
        """Rows an optimizer step, over all processes."""
        return self.batch_size * self.gradient_accumulation * self.processes


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(parameters_of(TrainingSpec))
"""Every parameter by its name, in the form's order."""


def parse_value(name: str, text: str) -> Value:
    """The value that ``text`` means for the parameter ``name``: see ``training.values.parse``."""
    return values.parse(PARAMETERS[name], text)


def check_value(name: str, value: Value) -> Value:
    """A value from elsewhere (a file, JSON) as the parameter's own type; raises InvalidValue."""
    return values.check(PARAMETERS[name], value)


def format_value(name: str, value: Value) -> str:
    """A value as ``parse_value`` reads it back: ``1e-4``, ``3``, ``none``."""
    return values.format_as(PARAMETERS[name], value)
