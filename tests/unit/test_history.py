"""What of a conversation is sent: counted with a small tokenizer whose rules a reader can check by eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from serving.history import trim
from serving.services import ChatTooLong
from training.conversation import ChatMessage


@dataclass(frozen=True)
class Strict:
    """One token a word, two a message, three for the beginning of the answer; as strict as the strictest templates."""

    takes_system: bool = True

    def prepared(self, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
        if self.takes_system or messages[0].role != "system":
            return tuple(messages)
        opening = ChatMessage(role="user", content=f"{messages[0].content}\n\n{messages[1].content}")
        return (opening, *messages[2:])

    def count(self, messages: Sequence[ChatMessage]) -> int:
        talk = [message for message in self.prepared(messages) if message.role != "system"]
        for place, message in enumerate(talk):
            assert message.role == ("assistant" if place % 2 else "user"), "roles must alternate, a person first"
        return 3 + sum(2 + len(message.content.split()) for message in messages)


def said(*texts: str) -> list[BaseMessage]:
    """A person first, then in turns."""
    return [AIMessage(text) if place % 2 else HumanMessage(text) for place, text in enumerate(texts)]


def contents(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    return [(message.type, str(message.text)) for message in messages]


def test_all_is_sent_where_it_fits() -> None:
    history = said("a", "b", "c")
    sent = trim(history, system="be kind", tokenizer=Strict(), context_tokens=100, answer_tokens=50)
    assert contents(sent) == [("system", "be kind"), *contents(history)]


def test_the_oldest_turns_go_first_and_the_rest_begins_with_the_person() -> None:
    history = said("one one", "two two", "three", "four", "five")
    # system 4, beginning 3, five 3, four 3, three 3: 16
    for room, first in ((24, "one one"), (23, "three"), (16, "three"), (15, "five")):
        sent = trim(history, system="be kind", tokenizer=Strict(), context_tokens=room + 10, answer_tokens=10)
        assert contents(sent)[1] == ("human", first)


def test_a_system_prompt_opens_the_first_message_where_the_template_has_no_place_for_it() -> None:
    sent = trim(
        said("hello"), system="be kind", tokenizer=Strict(takes_system=False), context_tokens=90, answer_tokens=9
    )
    assert contents(sent) == [("human", "be kind\n\nhello")]


def test_what_was_said_twice_without_an_answer_is_one_message() -> None:
    history = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage(""), HumanMessage("d")]
    sent = trim(history, system=None, tokenizer=Strict(), context_tokens=90, answer_tokens=9)
    assert contents(sent) == [("human", "a"), ("ai", "b"), ("human", "c\n\nd")]


def test_an_old_unanswered_message_goes_before_the_newest_is_refused() -> None:
    history = [HumanMessage("long " * 50), HumanMessage("short")]
    sent = trim(history, system=None, tokenizer=Strict(), context_tokens=30, answer_tokens=10)
    assert contents(sent) == [("human", "short")]


def test_the_messages_own_system_prompt_is_left_out() -> None:
    sent = trim(
        [SystemMessage("old"), *said("a")], system="new", tokenizer=Strict(), context_tokens=90, answer_tokens=9
    )
    assert contents(sent) == [("system", "new"), ("human", "a")]


def test_a_message_that_does_not_fit_alone_is_refused_in_numbers() -> None:
    with pytest.raises(ChatTooLong) as caught:
        trim(said("word " * 30), system="be kind", tokenizer=Strict(), context_tokens=30, answer_tokens=10)
    assert caught.value.params == {"tokens": 3 + 4 + 32, "limit": 20}


texts = st.text(alphabet="ab ", min_size=1, max_size=30).map(lambda text: f"x{text}")
messages = st.lists(
    st.one_of(st.builds(HumanMessage, content=texts), st.builds(AIMessage, content=texts | st.just(""))), max_size=12
)


@given(
    history=messages,
    newest=texts,
    system=st.none() | texts,
    context=st.integers(1, 120),
    answer=st.integers(1, 40),
    takes_system=st.booleans(),
)
def test_what_is_sent_fits_is_in_turns_and_ends_with_the_newest(
    history: list[BaseMessage], newest: str, system: str | None, context: int, answer: int, takes_system: bool
) -> None:
    tokenizer, limit = Strict(takes_system), context - answer
    whole = [*history, HumanMessage(newest)]
    alone = [ChatMessage(role="system", content=system)] if system else []
    alone.append(ChatMessage(role="user", content=newest))
    try:
        sent = trim(whole, system=system, tokenizer=tokenizer, context_tokens=context, answer_tokens=answer)
    except ChatTooLong:
        assert tokenizer.count(alone) > limit
        return
    assert contents(sent)[-1][0] == "human"
    assert contents(sent)[-1][1].endswith(newest)
    if system:
        assert contents(sent)[0] == ("system", system) if takes_system else contents(sent)[0][1].startswith(system)
    roles = {"system": "system", "human": "user", "ai": "assistant"}
    plain = [ChatMessage(role=roles[kind], content=text) for kind, text in contents(sent)]  # type: ignore[arg-type]  # of the table
    assert Strict(takes_system=True).count(plain) <= limit
