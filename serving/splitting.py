"""Over how many cards vLLM can split a model: what it refuses after minutes of loading is known from the start.

vLLM's tensor parallelism gives each card whole attention heads, and an even part of the feed-forward layers. Of its
key-value heads each card holds some, or several cards hold the same one. The vocabulary is padded.
"""

from typing import Literal

from training.checkpoints import CheckpointFacts

Undivided = Literal["heads", "key_value_heads", "width"]
"""What of a model a number of cards does not divide."""


def undivided(model: CheckpointFacts, cards: int) -> tuple[Undivided, int] | None:
    """Why ``cards`` cards, at least one, cannot share the model, with how many of that it has; None: they can, as far
    as its configuration says.
    """
    heads, key_value_heads, width = model.attention_heads, model.key_value_heads, model.intermediate_size
    if heads is not None and heads % cards:
        return "heads", heads
    if key_value_heads is not None and max(key_value_heads, cards) % min(key_value_heads, cards):
        return "key_value_heads", key_value_heads
    # Experts have widths of their own.
    if not model.has_experts and width % cards:
        return "width", width
    return None


def possible_cards(model: CheckpointFacts, most: int) -> tuple[int, ...]:
    """Every number of cards up to ``most`` that can share the model, ascending."""
    return tuple(cards for cards in range(1, most + 1) if undivided(model, cards) is None)


def fewer_cards(model: CheckpointFacts, wanted: int) -> int:
    """The most cards, ``wanted`` of them at most, that can share the model; 0 stays 0."""
    return max(possible_cards(model, wanted), default=0)
