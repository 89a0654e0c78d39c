"""Which tokens are learned, on templates of all kinds."""

import json
from pathlib import Path

import pytest

from tests.chat_templates import (
    CHATML,
    GEMMA,
    LLAMA3,
    MISTRAL,
    OPENED_THOUGHT,
    QWEN3,
    TEMPLATES,
    UNENDED,
    chat_tokenizer,
    small_tokenizer,
)
from training.conversation import ChatMessage, ChatRole, Conversation
from training.tokens import NOT_LEARNED, ChatTokenizer, Encoded, TokenizerError


def talk(*turns: tuple[ChatRole, str]) -> Conversation:
    return Conversation(messages=tuple(ChatMessage(role=role, content=content) for role, content in turns), row=1)


TWO_TURNS = talk(("user", "Hello 你好"), ("assistant", "I am Nova 🎉"), ("user", "Who?"), ("assistant", "我是 Nova。"))


def learned(tokenizer: ChatTokenizer, encoded: Encoded) -> str:
    return tokenizer.decode([label for label in encoded.labels if label != NOT_LEARNED])


@pytest.mark.parametrize("name", ["chatml", "gemma"])
def test_a_conversation_is_one_example_with_every_answer_and_its_end_learned(name: str) -> None:
    tokenizer = chat_tokenizer(TEMPLATES[name])
    (encoded,) = tokenizer.encode(TWO_TURNS)
    end = {"chatml": "<|im_end|>", "gemma": "<end_of_turn>"}[name]
    assert learned(tokenizer, encoded) == f"I am Nova 🎉{end}我是 Nova。{end}"
    assert tokenizer.render(TWO_TURNS.messages).startswith(tokenizer.decode(encoded.input_ids))


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "answer", ["Plain", "\n\nBegins with breaks", " a space ", "答案🎉\n", "<|im_end|> inside", "\t\tx"]
)
def test_the_ids_before_an_answer_are_those_of_its_prompt(name: str, answer: str) -> None:
    tokenizer = chat_tokenizer(TEMPLATES[name])
    conversation = talk(("user", "One\n"), ("assistant", answer), ("user", "Two"), ("assistant", answer))
    prompts = [
        tokenizer.ids(tokenizer.render(conversation.messages[:place], add_generation_prompt=True)) for place in (1, 3)
    ]
    found = [place_of_learned(encoded) for encoded in tokenizer.encode(conversation)]
    starts = [tuple(ids[:start]) for ids, places in found for start in places]
    assert starts == [tuple(prompt) for prompt in prompts]


def place_of_learned(encoded: Encoded) -> tuple[tuple[int, ...], list[int]]:
    places = [
        place
        for place, label in enumerate(encoded.labels)
        if label != NOT_LEARNED and (place == 0 or encoded.labels[place - 1] == NOT_LEARNED)
    ]
    return encoded.input_ids, places


def test_labels_repeat_the_ids_where_something_is_learned() -> None:
    for name in TEMPLATES:
        for encoded in chat_tokenizer(TEMPLATES[name]).encode(TWO_TURNS):
            assert len(encoded.labels) == len(encoded.input_ids)
            assert all(
                label in (NOT_LEARNED, token) for token, label in zip(encoded.input_ids, encoded.labels, strict=True)
            )
            assert 0 < encoded.learned_tokens < len(encoded.input_ids)


def test_a_template_that_rewrites_earlier_turns_gives_an_example_a_turn() -> None:
    tokenizer = chat_tokenizer(QWEN3)
    thinking = talk(
        ("user", "One"), ("assistant", "<think>\nhm\n</think>\n\nFirst"), ("user", "Two"), ("assistant", "Second")
    )
    first, second = tokenizer.encode(thinking)
    assert learned(tokenizer, first) == "<think>\nhm\n</think>\n\nFirst<|im_end|>"
    assert learned(tokenizer, second) == "<think>\n\n</think>\n\nSecond<|im_end|>"
    assert "hm" not in tokenizer.decode(second.input_ids)


def test_a_token_over_the_border_gives_an_example_a_turn() -> None:
    tokenizer = chat_tokenizer(CHATML)
    first, second = tokenizer.encode(
        talk(("user", "One"), ("assistant", "\n\n\nBreaks"), ("user", "Two"), ("assistant", "Plain"))
    )
    assert learned(tokenizer, first) == "\n\n\nBreaks<|im_end|>"
    assert learned(tokenizer, second) == "Plain<|im_end|>"


def test_a_prompt_that_is_tokenised_otherwise_with_its_answer_gives_an_example_a_turn() -> None:
    """GPT-2's pattern takes two line breaks as one only where nothing follows them, as at the end of a prompt."""
    tokenizer = chat_tokenizer(LLAMA3)
    first, second = tokenizer.encode(TWO_TURNS)
    assert learned(tokenizer, first) == "I am Nova 🎉<|eot_id|>"
    assert learned(tokenizer, second) == "我是 Nova。<|eot_id|>"


def test_an_opened_thought_stays_in_the_prompt() -> None:
    tokenizer = chat_tokenizer(OPENED_THOUGHT)
    (encoded,) = tokenizer.encode(talk(("user", 'Say "hi"'), ("assistant", "hi")))
    assert tokenizer.decode(encoded.input_ids) == (
        '<|im_start|>user\n"Say \\"hi\\""<|im_end|>\n<|im_start|>assistant\n<think>\nhi<|im_end|>'
    )
    assert learned(tokenizer, encoded) == "hi<|im_end|>"


def test_without_an_end_token_the_white_space_that_ends_a_turn_is_learned() -> None:
    tokenizer = chat_tokenizer(UNENDED)
    (encoded,) = tokenizer.encode(talk(("user", "Hello"), ("assistant", "I am Nova")))
    assert learned(tokenizer, encoded) == "I am Nova\n\n"


@pytest.mark.parametrize("template", [GEMMA, MISTRAL, UNENDED])
def test_a_system_prompt_opens_the_first_question_where_the_template_has_no_place_for_it(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    messages = talk(("system", "Be brief."), ("user", "Hello")).messages
    assert not tokenizer.takes_system
    assert "Be brief.\n\nHello" in tokenizer.render(messages, add_generation_prompt=True)
    assert [message.role for message in tokenizer.prepared(messages)] == ["user"]


def test_a_system_prompt_stays_where_the_template_has_a_place() -> None:
    messages = talk(("system", "Be brief."), ("user", "Hello")).messages
    assert chat_tokenizer(LLAMA3).takes_system
    assert chat_tokenizer(LLAMA3).prepared(messages) == messages


def test_the_words_of_a_refusing_template_are_kept() -> None:
    with pytest.raises(TokenizerError, match="must alternate") as raised:
        chat_tokenizer(GEMMA).render(talk(("user", "a"), ("user", "b")).messages)
    assert raised.value.code == "template_refused"


def test_cut_may_leave_nothing_to_learn() -> None:
    (encoded,) = chat_tokenizer().encode(talk(("user", "Hello"), ("assistant", "I am Nova")))
    assert encoded.cut(encoded.first_learned).learned_tokens == 0
    assert encoded.cut(encoded.first_learned + 1).learned_tokens == 1
    assert encoded.cut(10_000) is encoded


def test_nothing_said_is_nothing_to_train() -> None:
    assert chat_tokenizer().encode(talk(("user", "Hello"))) == ()


def test_count_is_the_length_of_the_prompt() -> None:
    tokenizer = chat_tokenizer()
    messages = TWO_TURNS.messages[:3]
    assert tokenizer.count(messages) == len(tokenizer.ids(tokenizer.render(messages, add_generation_prompt=True)))


def test_a_fingerprint_tells_templates_apart() -> None:
    assert chat_tokenizer().fingerprint == chat_tokenizer().fingerprint
    assert chat_tokenizer().fingerprint != chat_tokenizer(LLAMA3).fingerprint


def save(folder: Path, config: dict[str, object], template: str | None = None) -> Path:
    small_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {"chat_template": LLAMA3, "bos_token": "<s>"},
        {
            "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": LLAMA3}],
            "bos_token": "<s>",
        },
        {"chat_template": LLAMA3, "bos_token": {"content": "<s>", "special": True}},
    ],
)
def test_a_template_is_found_in_the_configuration(tmp_path: Path, config: dict[str, object]) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(save(tmp_path, config))
    assert tokenizer.render(TWO_TURNS.messages).startswith("<s><|start_header_id|>system")


def test_the_file_of_the_template_wins(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(save(tmp_path, {"chat_template": LLAMA3}, CHATML))
    assert tokenizer.render(TWO_TURNS.messages).startswith("<|im_start|>user")
    assert tokenizer.name == tmp_path.name


def test_special_tokens_of_an_older_file_are_used(tmp_path: Path) -> None:
    save(tmp_path, {}, LLAMA3)
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": {"content": "<s>"}}', encoding="utf-8")
    assert ChatTokenizer.from_checkpoint(tmp_path).render(TWO_TURNS.messages).startswith("<s>")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "no_tokenizer"),
        ({"tokenizer.json": "not json"}, "bad_tokenizer"),
        ({"tokenizer_config.json": "{"}, "bad_tokenizer"),
        ({"tokenizer_config.json": "{}"}, "no_chat_template"),
        ({"chat_template.jinja": "{% for %}"}, "bad_chat_template"),
    ],
)
def test_an_unusable_checkpoint_is_refused_by_code(tmp_path: Path, files: dict[str, str], code: str) -> None:
    if files and "tokenizer.json" not in files:
        small_tokenizer().save(str(tmp_path / "tokenizer.json"))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(TokenizerError) as raised:
        ChatTokenizer.from_checkpoint(tmp_path)
    assert raised.value.code == code


def test_a_template_cannot_leave_its_sandbox() -> None:
    with pytest.raises(TokenizerError) as raised:
        chat_tokenizer("{{ messages.__class__.__mro__ }}{{ messages.append(1) }}").render(TWO_TURNS.messages)
    assert raised.value.code == "template_refused"
