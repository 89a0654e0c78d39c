"""Models, machines and data sets to plan with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from training.checkpoints import CheckpointFacts
from training.datasets.statistics import TokenStatistics, rounded
from training.facts import Facts
from training.machine import Gpu, Machine

SMALL = CheckpointFacts(
    name="small-instruct",
    architecture="LlamaForCausalLM",
    parameters=134_515_008,
    context_tokens=8192,
    hidden_size=576,
    intermediate_size=1536,
    layers=30,
    vocabulary=49_152,
    has_tied_embeddings=True,
    dtype="bfloat16",
    size_bytes=269_060_552,
    has_chat_template=True,
    template_sha256="0" * 64,
    stop_tokens=("<|im_end|>",),
    licence="apache-2.0",
)
LARGE = replace(
    SMALL,
    name="large-instruct",
    parameters=7_615_616_512,
    context_tokens=32_768,
    hidden_size=3584,
    intermediate_size=18_944,
    layers=28,
    vocabulary=152_064,
    has_tied_embeddings=False,
    size_bytes=15_231_233_024,
)
LAPTOP = Machine(cores=2, memory_bytes=25 * 10**9, available_memory_bytes=22 * 10**9, free_disk_bytes=100 * 10**9)
CARD = Gpu(name="NVIDIA GeForce RTX 4090", memory_bytes=24 << 30, free_memory_bytes=23 << 30, supports_bf16=True)
OLD_CARD = Gpu(name="Tesla T4", memory_bytes=16 << 30, free_memory_bytes=15 << 30, supports_bf16=False)
WORKSTATION = Machine(
    cores=16,
    memory_bytes=64 * 10**9,
    available_memory_bytes=60 * 10**9,
    free_disk_bytes=10**12,
    gpus=(CARD,),
)


def statistics(lengths: Sequence[int], *, questions: Sequence[int] | None = None) -> TokenStatistics:
    """Rows of these many tokens; ``questions``: tokens before the answer begins, else half of each row."""
    starts = questions if questions is not None else [length // 2 for length in lengths]
    return TokenStatistics(
        tokenizer="small-instruct",
        fingerprint="f",
        rows=len(lengths),
        sampled_rows=len(lengths),
        examples=len(lengths),
        tokens=sum(lengths),
        learned_tokens=sum(length - start for length, start in zip(lengths, starts, strict=True)),
        longest=max(lengths, default=0),
        lengths=dict(Counter(map(rounded, lengths))),
        answer_starts=dict(Counter(rounded(start + 1) for start in starts)),
    )


PERSONA = statistics([40 + row * 2 for row in range(90)] + [256])
"""91 short rows, like a persona's."""
TINY = statistics([30] * 10)
MILLION = replace(statistics([100 + row % 400 for row in range(20_000)]), rows=1_000_000, examples=1_000_000)


def facts(*, model: CheckpointFacts = SMALL, data: TokenStatistics = PERSONA, machine: Machine = LAPTOP) -> Facts:
    """What to plan with."""
    return Facts(model=model, data=data, machine=machine)
