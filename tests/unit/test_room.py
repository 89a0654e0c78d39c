"""Whether a model server starts beside a training."""

from dataclasses import replace
from datetime import timedelta

from bot.reconcile.room import has_room_beside, needs_all_gpus
from storage.models import Run, now
from storage.states import RunState
from tests.conversing import MACHINE
from tests.planning import LARGE, SMALL
from training.machine import Gpu

GPU = Gpu(name="H100", memory_bytes=80 << 30, free_memory_bytes=80 << 30, supports_bf16=True)


def a_run(**values: object) -> Run:
    given = {"state": RunState.PENDING, "spec": {"gpus_per_node": 0}, "estimate": {"memory_bytes": 4 << 30}}
    return Run(**{**given, **values})


def test_memory_must_do_for_both_while_the_training_has_not_taken_its_own() -> None:
    tight = replace(MACHINE, available_memory_bytes=6 << 30)
    assert has_room_beside(MACHINE, a_run(), SMALL)
    assert not has_room_beside(tight, a_run(), SMALL)
    assert not has_room_beside(MACHINE, a_run(), LARGE)


def test_once_the_training_has_its_memory_what_is_left_counts() -> None:
    tight = replace(MACHINE, available_memory_bytes=6 << 30)
    settled = a_run(state=RunState.RUNNING, started_at=now() - timedelta(minutes=1))
    assert has_room_beside(tight, settled, SMALL)


def test_the_only_card_belongs_to_the_training() -> None:
    one, two = replace(MACHINE, gpus=(GPU,)), replace(MACHINE, gpus=(GPU, GPU))
    on_card = a_run(spec={"gpus_per_node": 1})
    assert needs_all_gpus(one, on_card)
    assert not has_room_beside(one, on_card, SMALL)
    assert has_room_beside(two, on_card, SMALL)
    assert not needs_all_gpus(MACHINE, on_card)
    assert has_room_beside(one, a_run(), SMALL), "a training on the CPU leaves the card"
