"""The fields of a request that go on to vLLM, and those that are left out.

All others are refused. Among those that vLLM knows are some that replace the chat template (a program that the server
would run), fetch addresses, name requests (one could end another's), jump the queue, or hand over caches.
"""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["chat/completions", "completions"]

SAMPLING = frozenset(
    (
        "bad_words",
        "frequency_penalty",
        "ignore_eos",
        "include_stop_str_in_output",
        "length_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "min_p",
        "min_tokens",
        "n",
        "presence_penalty",
        "repetition_penalty",
        "response_format",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "stream",
        "stream_options",
        "structured_outputs",
        "temperature",
        "top_k",
        "top_p",
        "truncate_prompt_tokens",
    )
)
"""How an answer is sampled, ended and shaped."""

CHAT = frozenset(
    (
        "add_generation_prompt",
        "continue_final_message",
        "include_reasoning",
        "max_completion_tokens",
        "messages",
        "parallel_tool_calls",
        "reasoning_effort",
        "tool_choice",
        "tools",
        "top_logprobs",
    )
)

COMPLETION = frozenset(("add_special_tokens", "echo", "prompt", "suffix"))

PASSED: Mapping[Kind, frozenset[str]] = {"chat/completions": SAMPLING | CHAT, "completions": SAMPLING | COMPLETION}

DROPPED = frozenset(
    (
        "metadata",
        "model",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    )
)
"""For OpenAI's own books: they change no answer. ``model`` is replaced by vLLM's name of it."""
