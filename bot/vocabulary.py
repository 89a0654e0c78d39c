"""How everything in a plan may be called, in both languages: the labels of the texts, and common short names."""

from collections.abc import Mapping
from functools import cache

from bot.lexicon import Vocabulary, fold
from bot.texts import LANGUAGES, texts
from training.presets import Preset
from training.spec import PARAMETERS

OTHERS: Mapping[str, tuple[str, ...]] = {
    "experiment": ("experiment", "experiment name", "实验名称", "实验名", "实验"),
    "dataset": ("dataset", "data set", "data", "训练数据集", "数据集"),
    "dataset_name": ("dataset_name", "数据集名称"),
    "base_model": ("base_model", "base model", "model", "基础模型", "模型"),
    "place": ("place", "location", "部署位置", "位置"),
    "preset": ("preset", "how thorough", "预设", "训练程度", "程度"),
    "bad_rows": ("bad_rows", "bad rows", "坏行", "问题行"),
    "deploys": ("deploy", "deploys", "deployment", "部署"),
    "start": ("start", "开始"),
}
"""What a plan holds besides the parameters of the form."""

SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "rate"),
    "epochs": ("epoch", "passes", "轮数", "轮", "遍"),
    "batch_size": ("batch", "bs", "批大小", "批次大小", "批量"),
    "gradient_accumulation": ("accumulation", "grad accum", "accum", "梯度累积"),
    "cutoff_length": ("cutoff", "cut-off", "cut off", "max length", "max_length", "截断"),
    "max_grad_norm": ("grad norm", "gradient norm", "clipping"),
    "max_samples": ("samples", "max rows", "样本数"),
    "compute_type": ("precision", "dtype", "精度"),
    "validation_ratio": ("validation", "val ratio", "validation split", "验证集", "验证比例"),
    "scheduler": ("lr scheduler", "schedule", "调度器", "调节器"),
    "lora_rank": ("rank", "r", "秩", "lora秩"),
    "lora_alpha": ("alpha", "缩放系数", "缩放"),
    "lora_dropout": ("dropout", "丢弃", "随机丢弃"),
    "lora_lr_ratio": ("lora+", "学习率比例"),
    "warmup_steps": ("warmup", "warm-up", "warm up", "预热"),
    "logging_steps": ("logging", "日志"),
    "save_steps": ("save interval", "保存"),
    "neftune_alpha": ("neftune", "noise"),
    "optimizer": ("optimiser", "optim"),
    "seed": ("random seed", "种子"),
    "method": ("tuning method", "方法"),
    "gpus_per_node": ("gpus", "cards", "卡数"),
    "memory_gib": ("memory", "内存"),
    "cpu": ("cpus", "cores", "核"),
    "quantization": ("quant", "quantisation", "量化"),
    "rope_scaling": ("rope",),
}

ANYWAY = frozenset({"anyway", "仍然", "仍要", "仍然部署", "照样", "强制"})
"""Said behind a model's name: deploy it though its answers do not end."""

PRESET_WORDS: Mapping[Preset, tuple[str, ...]] = {
    Preset.QUICK: ("quick", "fast", "quick look", "快速", "快速试跑", "快"),
    Preset.BALANCED: ("balanced", "balance", "均衡", "平衡"),
    Preset.BEST: ("best", "thorough", "最佳", "最好"),
    Preset.CUSTOM: ("custom", "set everything", "everything", "自定义", "全部自己设"),
}

ANSWERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("deploys", "yes"): ("deploy", "and deploy", "部署", "并部署"),
    ("deploys", "no"): ("no deploy", "don't deploy", "do not deploy", "without deploying", "不部署", "不要部署"),
    ("start", "yes"): ("start", "开始", "开始训练"),
    ("bad_rows", "leave out"): ("leave out the bad rows", "drop the bad rows", "去掉坏行", "去掉问题行"),
}


@cache
def vocabulary() -> Vocabulary:
    """All names and words of a plan."""
    names = {fold(word): name for name, words in OTHERS.items() for word in words}
    answers = {fold(word): answer for answer, words in ANSWERS.items() for word in words}
    answers |= {fold(word): ("preset", preset.value) for preset, words in PRESET_WORDS.items() for word in words}
    for name in PARAMETERS:
        labels = [texts(language)(f"parameter.{name}.label") for language in LANGUAGES]
        for word in (name, *labels, *SHORT_NAMES.get(name, ())):
            names[fold(word)] = name
    numeric = frozenset(name for name, parameter in PARAMETERS.items() if parameter.kind != "choice")
    return Vocabulary(names, answers, numeric)
