"""Places at a replica: nobody is lost, nobody starves, and everybody is told where they stand."""

import random
from collections import Counter

import pytest

from serving.queueing import FairQueue, Ticket, favourite


def test_as_many_as_there_are_places_go_at_once_and_the_others_in_the_order_in_which_they_came() -> None:
    queue = FairQueue(2)
    tickets = [queue.enter(f"thread-{number}") for number in range(5)]
    assert [ticket.holds for ticket in tickets] == [True, True, False, False, False]
    assert [ticket.ahead for ticket in tickets[2:]] == [0, 1, 2]
    queue.leave(tickets[1])
    assert [ticket.holds for ticket in tickets] == [True, False, True, False, False]
    assert [ticket.ahead for ticket in tickets[3:]] == [0, 1]
    assert (queue.holding, queue.waiting) == (2, 2)


def test_a_key_that_floods_waits_behind_its_own() -> None:
    queue = FairQueue(1)
    served = [queue.enter("loud")]
    loud = [queue.enter("loud") for _ in range(3)]
    calm, other = queue.enter("calm"), queue.enter("other")
    assert [ticket.ahead for ticket in (loud[0], calm, other, loud[1], loud[2])] == [0, 1, 2, 3, 4]
    order = []
    while served:
        queue.leave(served.pop())
        for ticket in (*loud, calm, other):
            if ticket.holds:
                order.append(ticket.key)
                served = [ticket]
    assert order == ["loud", "calm", "other", "loud", "loud"]


def test_who_gives_up_in_the_queue_makes_room_and_the_others_are_told() -> None:
    queue = FairQueue(1)
    holding, first, second = (queue.enter(key) for key in "abc")
    second.changed.clear()
    queue.leave(first)
    assert (second.ahead, second.changed.is_set()) == (0, True)
    queue.leave(first)
    second.changed.clear()
    queue.leave(holding)
    assert (second.holds, second.changed.is_set()) == (True, True)
    queue.leave(second)
    assert (queue.holding, queue.waiting) == (0, 0)


def test_nobody_is_told_anything_while_nothing_changes() -> None:
    queue = FairQueue(1)
    queue.enter("a")
    waiting = queue.enter("b")
    waiting.changed.clear()
    queue.enter("c")
    assert not waiting.changed.is_set()


def test_none_is_lost_and_no_place_is_given_twice_whatever_comes_and_goes() -> None:
    chance, queue = random.Random(1), FairQueue(3)
    there: list[Ticket] = []
    for _ in range(2000):
        if there and chance.random() < 0.5:
            queue.leave(there.pop(chance.randrange(len(there))))
        else:
            there.append(queue.enter(f"key-{chance.randrange(5)}"))
        holding = [ticket for ticket in there if ticket.holds]
        waiting = [ticket for ticket in there if not ticket.holds]
        assert len(holding) == queue.holding == min(3, len(there))
        assert sorted(ticket.ahead for ticket in waiting) == list(range(queue.waiting)) == list(range(len(waiting)))


def test_a_queue_needs_a_place() -> None:
    with pytest.raises(ValueError, match="place"):
        FairQueue(0)


def test_a_key_keeps_its_replica_and_only_the_keys_of_a_lost_one_move() -> None:
    names, keys = ["one", "two", "three"], [f"thread-{number}" for number in range(300)]
    before = {key: favourite(key, names) for key in keys}
    assert before == {key: favourite(key, reversed(names)) for key in keys}
    after = {key: favourite(key, ["one", "three"]) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != "two")
    assert all(70 <= count <= 130 for count in Counter(before.values()).values())
