import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from serving.history import trim
from serving.parity import check_parity, first_difference, prompts, unpacked
from serving.services import AdapterMissing, NotProven, ServerUnavailable
from tests.chat_templates import CHATML, GEMMA, MISTRAL, QWEN3, SPECIAL_TOKENS, TEMPLATES, small_tokenizer
from tests.fake_vllm import FakeVllm
from training.conversation import ChatMessage, ChatRole, Conversation
from training.tokens import ChatTokenizer

ROLES: tuple[ChatRole, ...] = ("user", "assistant")


def conversation(*talk: str, system: str | None = None) -> Conversation:
    """A person first, then in turns."""
    head = (ChatMessage(role="system", content=system),) if system else ()
    said = tuple(ChatMessage(role=ROLES[place % 2], content=text) for place, text in enumerate(talk))
    return Conversation(messages=(*head, *said), row=7)


CONVERSATIONS = (
    conversation("Who are you?", "I am Nova."),
    conversation("Hello", "Hello! How can I help?", "Who made you?", "Acme did.", system="You are Nova."),
    conversation("你是谁？", "您好，我是 Nova，由 Acme 开发的 AI 助手。", "很高兴", "我也是。"),
    conversation("Go on", "\n\nAn answer that begins with a line break."),
)


def checkpoint(folder: Path, template: str) -> Path:
    """The files of a tokenizer with a template."""
    folder.mkdir()
    small_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(SPECIAL_TOKENS | {"chat_template": template}))
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[FakeVllm]:
    with FakeVllm(base_model=folder) as fake:
        yield fake


@pytest.mark.parametrize("name", TEMPLATES)
async def test_a_server_of_the_same_checkpoint_reads_as_was_trained(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path / "model", TEMPLATES[name])
    tokenizer = ChatTokenizer.from_checkpoint(folder)
    asked = [prompt for one in CONVERSATIONS for prompt in prompts(one, tokenizer)]
    assert len(asked) == 6
    with serving(folder) as fake:
        await check_parity(fake.address, "base", asked, tokenizer)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompts_are_what_the_batches_hold_before_each_answer(tmp_path: Path, name: str) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint(tmp_path / "model", TEMPLATES[name]))
    for one in CONVERSATIONS:
        found = prompts(one, tokenizer)
        encoded = tokenizer.encode(one)
        assert [prompt.turn for prompt in found] == list(range(1, len(found) + 1))
        if len(encoded) == 1:
            (example,) = encoded
            assert all(example.input_ids[: len(prompt.ids)] == prompt.ids for prompt in found)
            assert len(found[0].ids) == example.first_learned
            assert all(example.labels[len(prompt.ids)] == example.input_ids[len(prompt.ids)] for prompt in found)
        else:
            assert [prompt.ids for prompt in found] == [one.input_ids[: one.first_learned] for one in encoded]


@pytest.mark.parametrize("template", [CHATML, GEMMA, MISTRAL, QWEN3])
@pytest.mark.parametrize("one", CONVERSATIONS)
def test_what_is_sent_is_what_a_persons_words_become(tmp_path: Path, template: str, one: Conversation) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint(tmp_path / "model", template))
    for prompt in prompts(one, tokenizer):
        system = next((message.content for message in one.messages if message.role == "system"), None)
        talk = [message for message in one.messages if message.role != "system"][: 2 * prompt.turn - 1]
        said: list[BaseMessage] = [
            HumanMessage(message.content) if message.role == "user" else AIMessage(message.content) for message in talk
        ]
        sent = trim(said, system=system, tokenizer=tokenizer, context_tokens=4096, answer_tokens=10)
        assert [str(message.text) for message in sent] == [message.content for message in prompt.messages]


async def test_another_template_is_refused_at_its_first_token(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint(tmp_path / "trained", CHATML))
    other = CHATML.replace("assistant\n", "assistant\n\n")
    with serving(checkpoint(tmp_path / "served", other)) as fake, pytest.raises(NotProven) as caught:
        await check_parity(fake.address, "base", prompts(CONVERSATIONS[1], tokenizer), tokenizer)
    error = caught.value
    assert (error.code, error.params["row"], error.params["turn"]) == ("parity.differs", 7, 1)
    pairs = unpacked(str(error.params["table"]))
    place = int(error.params["place"])
    assert [pair.place for pair in pairs] == list(range(place - 4, place + 1))
    assert all(pair.trained == pair.served for pair in pairs[:-1])
    assert (pairs[-1].trained_text, pairs[-1].served_text) == ("\n", "\n\n")
    assert tokenizer.decode([pairs[-1].served or 0]) == "\n\n"
    assert str(error) == "parity.differs"


async def test_a_template_that_changes_later_turns_is_found_there(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint(tmp_path / "trained", CHATML))
    shy = CHATML.replace("{% for message in messages %}", "{% for message in messages[-1:] %}")
    talk = conversation("Hello", "Hello!", "Who made you?", "Acme did.")
    with serving(checkpoint(tmp_path / "served", shy)) as fake, pytest.raises(NotProven) as caught:
        await check_parity(fake.address, "base", prompts(talk, tokenizer), tokenizer)
    assert caught.value.params["turn"] == 2


async def test_a_server_whose_template_refuses_a_row_is_refused(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.from_checkpoint(checkpoint(tmp_path / "trained", CHATML))
    with serving(checkpoint(tmp_path / "served", GEMMA)) as fake, pytest.raises(NotProven) as caught:
        await check_parity(fake.address, "base", prompts(CONVERSATIONS[1], tokenizer), tokenizer)
    assert caught.value.code == "parity.refused"
    assert "System role not supported" in str(caught.value.params["detail"])


async def test_what_cannot_be_told_for_now_is_no_verdict(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", CHATML)
    tokenizer = ChatTokenizer.from_checkpoint(folder)
    asked = prompts(CONVERSATIONS[0], tokenizer)
    with serving(folder) as fake:
        address = fake.address
        with pytest.raises(AdapterMissing):
            await check_parity(address, "not-loaded", asked, tokenizer)
        fake.sick = True
        with pytest.raises(ServerUnavailable):
            await check_parity(address, "base", asked, tokenizer)
    with pytest.raises(ServerUnavailable):
        await check_parity(address, "base", asked, tokenizer)


@pytest.mark.parametrize(
    ("trained", "served", "place"),
    [((1, 2), (1, 2), None), ((1, 2), (1, 3), 1), ((1,), (1, 2), 1), ((1, 2), (1,), 1), ((), (), None)],
)
def test_the_first_difference(trained: tuple[int, ...], served: tuple[int, ...], place: int | None) -> None:
    assert first_difference(trained, served) == place
