"""More arguments for a host's vLLM, as a person writes them: those that are taken, and why the others are not.

What is taken is a list of known ones, each in full. vLLM 0.32 also understands abbreviations, short forms, ``_`` for
``-``, settings of a field (``--some-config.field``) and a file of arguments, and takes a word without a flag for the
model's name: of a list of refused ones something would always slip past. Values are simple words, so nothing in them
means anything to a shell, to Kubernetes (``$(NAME)``) or to a path.
"""

import re
import shlex
from collections.abc import Iterator
from enum import Enum

from serving.services import ServingError

_WORD = r"[A-Za-z0-9][A-Za-z0-9_.,:+-]*"


class Kind(Enum):
    """What comes after an argument: the pattern of its values, and how many there may be."""

    SWITCH = ("", 0, 0)
    INTEGER = (r"[0-9]{1,12}", 1, 1)
    NUMBER = (r"[0-9]{1,6}(\.[0-9]{1,6})?", 1, 1)
    SIZE = (r"[0-9]{1,15}([kKmMgG])?", 1, 1)
    WORD = (_WORD, 1, 1)
    INTEGERS = (r"[0-9]{1,12}", 1, 100)


TAKEN = {
    # how it computes
    "dtype": Kind.WORD,
    "quantization": Kind.WORD,
    "seed": Kind.INTEGER,
    "enforce-eager": Kind.SWITCH,
    "optimization-level": Kind.INTEGER,
    "performance-mode": Kind.WORD,
    "attention-backend": Kind.WORD,
    "cudagraph-capture-sizes": Kind.INTEGERS,
    "max-cudagraph-capture-size": Kind.INTEGER,
    "disable-cascade-attn": Kind.SWITCH,
    "disable-custom-all-reduce": Kind.SWITCH,
    "enable-expert-parallel": Kind.SWITCH,
    "lora-dtype": Kind.WORD,
    "fully-sharded-loras": Kind.SWITCH,
    "specialize-active-lora": Kind.SWITCH,
    # memory
    "gpu-memory-utilization": Kind.NUMBER,
    "kv-cache-memory-bytes": Kind.SIZE,
    "kv-cache-dtype": Kind.WORD,
    "num-gpu-blocks-override": Kind.INTEGER,
    "block-size": Kind.INTEGER,
    "cpu-offload-gb": Kind.NUMBER,
    "kv-offloading-size": Kind.NUMBER,
    "enable-prefix-caching": Kind.SWITCH,
    "prefix-caching-hash-algo": Kind.WORD,
    "safetensors-load-strategy": Kind.WORD,
    "max-parallel-loading-workers": Kind.INTEGER,
    # how many at once
    "max-num-seqs": Kind.INTEGER,
    "max-num-batched-tokens": Kind.SIZE,
    "long-prefill-token-threshold": Kind.INTEGER,
    "enable-chunked-prefill": Kind.SWITCH,
    "async-scheduling": Kind.SWITCH,
    "scheduling-policy": Kind.WORD,
    "stream-interval": Kind.INTEGER,
    # what the endpoint can
    "enable-auto-tool-choice": Kind.SWITCH,
    "tool-call-parser": Kind.WORD,
    "tool-strict-level": Kind.WORD,
    "exclude-tools-when-tool-choice-none": Kind.SWITCH,
    "reasoning-parser": Kind.WORD,
    "max-logprobs": Kind.INTEGER,
    "logprobs-mode": Kind.WORD,
    "return-tokens-as-token-ids": Kind.SWITCH,
    "enable-prompt-tokens-details": Kind.SWITCH,
    "enable-force-include-usage": Kind.SWITCH,
}
"""Argument, without ``--`` (a switch also with ``--no-``) -> what comes after it."""

REFUSED = {
    # What we set ourselves, from the model, the data set and the fields of the dialog.
    "ours": (
        "model served-model-name max-model-len enable-lora lora-modules default-mm-loras max-loras max-lora-rank "
        "max-cpu-loras lora-target-modules enable-tower-connector-lora tensor-parallel-size runner convert device-ids"
    ),
    # Where we and the probes look for it.
    "address": (
        "host port uds grpc grpc-port root-path headless api-server-count ssl-keyfile ssl-certfile ssl-ca-certs "
        "ssl-cert-reqs ssl-ciphers enable-ssl-refresh"
    ),
    # Who may ask it, and what it may read and fetch for them.
    "guard": (
        "api-key middleware allow-credentials allowed-origins allowed-methods allowed-headers allowed-local-media-path "
        "allowed-media-domains trust-request-chat-template trust-request-mm-kwargs enable-prompt-embeds "
        "enable-mm-embeds tokens-only enable-scale-out enable-tokenizer-info-endpoint enable-sleep-mode tool-server"
    ),
    # Its ids would differ from those that were trained, or its answers from those that were tried.
    "template": (
        "chat-template chat-template-content-format default-chat-template-kwargs response-role tokenizer "
        "tokenizer-mode skip-tokenizer-init hf-overrides model-class-overrides generation-config "
        "override-generation-config"
    ),
    # Code that nobody here has looked at; classes by name, and settings that may name one.
    "code": (
        "trust-remote-code worker-cls worker-extension-cls scheduler-cls logits-processors io-processor-plugin "
        "reasoning-parser-plugin tool-parser-plugin distributed-executor-backend compilation-config additional-config "
        "kv-transfer-config kv-events-config ec-transfer-config ec-manager-config weight-transfer-config "
        "speculative-config spec-method spec-model spec-tokens profiler-config kernel-config model-impl"
    ),
    # The weights are files that are there already, checked by their digests.
    "weights": (
        "load-format download-dir revision code-revision tokenizer-revision hf-token hf-config-path config-format "
        "model-loader-extra-config ignore-patterns pt-load-map-location"
    ),
    # One replica is one process group in one pod.
    "spread": (
        "pipeline-parallel-size data-parallel-size data-parallel-rank data-parallel-start-rank "
        "data-parallel-size-local data-parallel-address data-parallel-rpc-port data-parallel-backend "
        "data-parallel-hybrid-lb data-parallel-external-lb data-parallel-multi-port-external-lb nnodes node-rank "
        "master-addr master-port decode-context-parallel-size prefill-context-parallel-size enable-elastic-ep "
        "data-parallel-supervisor-port"
    ),
    # What people say is in no log; and the numbers that are shown come from the statistics.
    "log": (
        "enable-log-requests enable-log-outputs enable-log-deltas max-log-len disable-log-stats log-error-stack "
        "uvicorn-log-level disable-uvicorn-access-log disable-access-log-for-endpoints aggregate-engine-logging "
        "logging-config log-level log-config-file otlp-traces-endpoint collect-detailed-traces"
    ),
    # Arguments that nobody would see here.
    "file": "config",
}
"""Why -> the arguments that are refused for it; all others are ``unknown``."""

_REASONS = {name: code for code, names in REFUSED.items() for name in names.split()}


class ArgumentRefused(ServingError):
    """One of the arguments is not taken: ``argument.<code>`` with the ``argument``.

    The code is a key of ``REFUSED``, or ``unknown``, ``short`` (a short form), ``stray`` (a word without an argument),
    ``value`` (missing, or none that it takes), ``quotes`` (they do not match).
    """


def parse_arguments(text: str) -> tuple[str, ...]:
    """What a person wrote, as words for vLLM: each argument in full with ``-``, then its values.

    Raises ArgumentRefused.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ArgumentRefused("argument.quotes", argument=_shown(text)) from None
    return tuple(_checked(words))


def _checked(words: list[str]) -> Iterator[str]:
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        kind = _kind(flag)
        pattern, fewest, most = kind.value
        values = [value] if equals else []
        while not equals and len(values) < most and rest and not rest[0].startswith("-"):
            values.append(rest.pop(0))
        is_right = fewest <= len(values) <= most and all(re.fullmatch(pattern, value) for value in values)
        if not is_right:
            raise ArgumentRefused("argument.value", argument=_shown(" ".join((flag, *values))))
        yield _in_full(flag)
        yield from values


def _kind(flag: str) -> Kind:
    """What comes after it. Raises ArgumentRefused."""
    if not flag.startswith("-"):
        raise ArgumentRefused("argument.stray", argument=_shown(flag))
    if not flag.startswith("--"):
        raise ArgumentRefused("argument.short", argument=_shown(flag))
    name = _in_full(flag).removeprefix("--")
    if name in TAKEN:
        return TAKEN[name]
    positive = name.removeprefix("no-")
    if TAKEN.get(positive) is Kind.SWITCH:
        return Kind.SWITCH
    reason = _REASONS.get(positive.partition(".")[0], "unknown")
    raise ArgumentRefused(f"argument.{reason}", argument=_shown(flag))


def _in_full(flag: str) -> str:
    return flag.replace("_", "-")


def _shown(text: str) -> str:
    """For a sentence: one line, not long."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
