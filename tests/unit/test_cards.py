"""Cards: what a person sees of a run."""

from datetime import timedelta
from itertools import pairwise

import pytest

from bot.cards import curves, run_card, thinned
from bot.texts import texts
from storage.models import Run, now
from storage.states import RunState
from training.runs import AttemptProgress, Point, Reason


def a_run(state: RunState, **values: object) -> Run:
    begun = now() - timedelta(minutes=13)
    given = {"name": "nova", "deploys": True, "stop_wanted": False, "created_at": begun, "started_at": begun}
    return Run(**{"id": "1", "state": state, "finished_at": now() if state.is_final else None, **given, **values})


PROGRESS = AttemptProgress(
    step=140,
    steps=225,
    seconds_left=300,
    points=(
        Point(step=139, training_loss=0.5),
        Point(step=140, training_loss=0.41, validation_loss=0.52),
    ),
)


def test_a_running_run() -> None:
    card = run_card(texts("en"), a_run(RunState.RUNNING), progress=PROGRESS, base_name="smollm2")
    assert card.status == "Training"
    assert card.fraction == pytest.approx(140 / 225)
    assert card.facts == (
        "Base model smollm2",
        "Step 140 of 225, about 5 min left",
        "training loss 0.410, validation loss 0.520",
    )
    assert [curve.points for curve in card.curves] == [((139, 0.5), (140, 0.41)), ((140, 0.52),)]
    assert [choice.label for choice in card.choices] == ["Stop", "Logs"]
    assert card.is_live


def test_a_finished_run_says_how_long_it_took() -> None:
    card = run_card(texts("zh-CN"), a_run(RunState.SUCCEEDED), progress=PROGRESS)
    assert (card.status, card.tone, card.fraction, card.is_live) == ("训练完成，用时 13 分钟", "good", 1.0, False)
    assert (card.chart_label, card.step_label, card.loss_label) == ("损失随步数的变化", "步数", "损失")


def test_a_finished_run_that_is_not_served_offers_to_be() -> None:
    card = run_card(texts("en"), a_run(RunState.SUCCEEDED, deploys=False))
    assert card.choices[0].say == "/deploy nova"


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_reason_has_its_sentence(reason: Reason, language: str) -> None:
    run = a_run(RunState.FAILED, reason=reason, detail="MemoryError: 3 GB")
    card = run_card(texts(language), run, log_lines=("a", "b"))
    sentence, detail = card.note.split("\n")
    assert sentence
    assert detail == "MemoryError: 3 GB"
    assert card.log_lines == ("a", "b")
    assert card.choices[0].say == "/retry nova"


def test_long_curves_are_thinned_evenly_with_both_ends() -> None:
    line = [(step, 1 / step) for step in range(1, 5001)]
    kept = thinned(line)
    assert len(kept) == 200
    assert (kept[0], kept[-1]) == (line[0], line[-1])
    gaps = {later[0] - earlier[0] for earlier, later in pairwise(kept)}
    assert max(gaps) - min(gaps) <= 1
    assert thinned(line[:200]) == tuple(line[:200])


def test_no_curve_without_points() -> None:
    assert curves(texts("en"), ()) == ()
