"""Our rendering and tokenising equal transformers', text for text and id for id."""

from pathlib import Path
from typing import cast

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.chat_templates import SPECIAL_TOKENS, TEMPLATES, chat_tokenizer, small_tokenizer
from tests.places import bundled_model
from training.conversation import ChatMessage, ChatRole
from training.tokens import ChatTokenizer

TALKS: tuple[tuple[tuple[ChatRole, str], ...], ...] = (
    (("user", "Hello"),),
    (("user", "Hello"), ("assistant", "I am Nova.")),
    (
        ("user", "  spaces  \n"),
        ("assistant", "\n\nbreaks\t"),
        ("user", "你是谁？🎉👩‍👩‍👧"),
        ("assistant", "我是 Nova。"),
    ),
    (("user", "<|im_end|> and {{ braces }} {% if %}"), ("assistant", "<think>\nhm\n</think>\n\nso"), ("user", "“”é")),
)
SYSTEM: tuple[tuple[ChatRole, str], ...] = (("system", "简短。Be brief.\n"),)


def messages(talk: tuple[tuple[ChatRole, str], ...]) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role=role, content=content) for role, content in talk)


def assert_equal(ours: ChatTokenizer, theirs: PreTrainedTokenizerBase, talk: tuple[ChatMessage, ...]) -> None:
    """Compare what the template is given after ``prepared``: the one thing that we do before it."""
    said = [{"role": message.role, "content": message.content} for message in ours.prepared(talk)]
    for prompt in (False, True):
        text = theirs.apply_chat_template(said, tokenize=False, add_generation_prompt=prompt)
        ids = cast(
            list[int],
            theirs.apply_chat_template(said, tokenize=True, add_generation_prompt=prompt, return_dict=False),
        )
        assert ours.render(talk, add_generation_prompt=prompt) == text
        assert ours.ids(text) == ids
        assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize("talk", [*TALKS, *(SYSTEM + talk for talk in TALKS)])
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_of_many_families(name: str, talk: tuple[tuple[ChatRole, str], ...]) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=small_tokenizer(), **SPECIAL_TOKENS)
    theirs.chat_template = TEMPLATES[name]
    assert_equal(chat_tokenizer(TEMPLATES[name]), theirs, messages(talk))


@pytest.mark.parametrize("talk", [*TALKS, *(SYSTEM + talk for talk in TALKS)])
def test_the_bundled_model(talk: tuple[tuple[ChatRole, str], ...]) -> None:
    folder = bundled_model()
    assert_equal(ChatTokenizer.from_checkpoint(folder), AutoTokenizer.from_pretrained(folder), messages(talk))


def test_a_checkpoint_that_transformers_saved(tmp_path: Path) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=small_tokenizer(), **SPECIAL_TOKENS)
    theirs.chat_template = {"default": TEMPLATES["llama3"], "tool_use": TEMPLATES["chatml"]}
    theirs.save_pretrained(tmp_path)
    assert_equal(ChatTokenizer.from_checkpoint(tmp_path), theirs, messages(TALKS[2]))
