from training.conversation import ChatMessage, ChatRole, Conversation
from training.datasets.probes import telling, with_short_answers

ROLES: tuple[ChatRole, ...] = ("user", "assistant")


def row(number: int, *talk: str, system: str | None = None) -> Conversation:
    head = (ChatMessage(role="system", content=system),) if system else ()
    said = tuple(ChatMessage(role=ROLES[place % 2], content=text) for place, text in enumerate(talk))
    return Conversation(messages=(*head, *said), row=number)


def numbers(rows: tuple[Conversation, ...]) -> list[int]:
    return [one.row for one in rows]


ROWS = (
    *(row(number, f"What is {number}?", f"It is {number}.") for number in range(1, 8)),
    row(8, "Who?", "Me.", system="Be brief."),
    row(9, "A longer question than most", "and a longer answer"),
    row(10, "Hello", "Hi", "Again", "Hi again"),
    row(11, "你是谁？", "我是 Nova。"),
    row(12, "Tell me everything that you know", "That is " + "very " * 200 + "much"),
)


def test_rows_unlike_each_other_are_taken_in_the_order_of_the_file() -> None:
    assert numbers(telling(ROWS, lambda _: True)) == [1, 8, 10, 11, 12]


def test_the_longest_is_the_longest_that_fits() -> None:
    assert numbers(telling(ROWS, lambda one: one.row != 12)) == [1, 8, 9, 10, 11]
    assert numbers(telling(ROWS, lambda _: False)) == [1, 2, 8, 10, 11]


def test_a_small_or_plain_file_gives_what_it_has() -> None:
    assert telling((), lambda _: True) == ()
    assert numbers(telling(ROWS[:2], lambda _: True)) == [1, 2]
    assert numbers(telling(ROWS[:7], lambda _: True)) == [1, 2, 3, 4, 5]


def test_the_shortest_answers_come_first_without_their_system_prompt() -> None:
    found = with_short_answers(ROWS, "Be brief.", 3)
    assert numbers(found) == [8]
    assert [message.role for message in found[0].messages] == ["user", "assistant"]
    assert numbers(with_short_answers(ROWS, None, 3)) == [10, 11, 1]
    assert numbers(with_short_answers(ROWS, "Another.", 2)) == [10, 8]


def test_a_conversation_is_taken_up_to_its_first_answer() -> None:
    (found,) = with_short_answers(ROWS[9:10], None, 3)
    assert [message.content for message in found.messages] == ["Hello", "Hi"]


def test_a_question_is_asked_once() -> None:
    twice = (row(1, "Hello", "Hi"), row(2, "Hello", "Hi!"), row(3, "Bye", "Good bye"))
    assert numbers(with_short_answers(twice, None, 3)) == [1, 3]
