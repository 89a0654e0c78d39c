"""Over how many cards a model can be split. The numbers of heads are those of models that are well known."""

from dataclasses import replace

import pytest

from serving.splitting import fewer_cards, possible_cards, undivided
from tests.planning import SMALL
from training.checkpoints import CheckpointFacts

# 9 heads, 3 key-value heads, 1,536 wide: nine cards would share the heads evenly, but not the feed-forward layers.
SMOLLM = replace(SMALL, attention_heads=9, key_value_heads=3)
QWEN_7B = replace(SMALL, attention_heads=28, key_value_heads=4, intermediate_size=18_944)
QWEN_14B = replace(SMALL, attention_heads=40, key_value_heads=8, intermediate_size=13_824)
LLAMA_8B = replace(SMALL, attention_heads=32, key_value_heads=8, intermediate_size=14_336)


@pytest.mark.parametrize(
    ("model", "cards"),
    [(SMOLLM, (1, 3)), (QWEN_7B, (1, 2, 4)), (QWEN_14B, (1, 2, 4, 8)), (LLAMA_8B, (1, 2, 4, 8, 16))],
)
def test_the_numbers_that_vllm_takes(model: CheckpointFacts, cards: tuple[int, ...]) -> None:
    assert possible_cards(model, 16) == cards


def test_what_is_not_divided() -> None:
    assert undivided(SMOLLM, 4) == ("heads", 9)
    assert undivided(QWEN_14B, 5) == ("key_value_heads", 8)
    assert undivided(SMOLLM, 9) == ("width", 1536)
    assert undivided(replace(SMOLLM, has_experts=True), 9) is None


def test_more_cards_than_key_value_heads_hold_the_same_one() -> None:
    assert undivided(LLAMA_8B, 32) is None
    assert undivided(replace(SMALL, attention_heads=32, key_value_heads=1, intermediate_size=4096), 16) is None


def test_what_is_not_known_stands_in_nobodys_way() -> None:
    assert possible_cards(replace(SMALL, attention_heads=None, key_value_heads=None), 4) == (1, 2, 3, 4)


def test_the_default_is_never_a_number_that_cannot_be() -> None:
    assert [fewer_cards(SMOLLM, wanted) for wanted in (0, 1, 2, 4, 8)] == [0, 1, 1, 3, 3]
