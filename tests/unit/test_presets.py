"""What is proposed, for data and machines of every size."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planning import CARD, LAPTOP, LARGE, MILLION, OLD_CARD, PERSONA, TINY, WORKSTATION, facts, statistics
from training.estimate import estimate
from training.presets import (
    InvalidPlan,
    Origin,
    Preset,
    make_plan,
    recommend_preset,
    recommended_cutoff,
    recommended_logging_steps,
    recommended_save_steps,
    recommended_warmup_steps,
)
from training.rules import is_refused, review
from training.spec import PARAMETERS


def test_a_quick_run_of_a_persona_on_a_laptop() -> None:
    plan = make_plan(Preset.QUICK, {}, facts())
    spec = plan.spec
    assert (spec.learning_rate, spec.effective_batch, spec.lora_rank, spec.lora_alpha) == (1e-3, 4, 8, 16)
    assert (spec.epochs, spec.max_samples, spec.validation_ratio, spec.lora_dropout) == (4.0, None, 0.0, 0.0)
    assert (spec.compute_type, spec.gpus_per_node, spec.cutoff_length) == ("fp32", 0, 256)
    foreseen = estimate(spec, facts())
    assert foreseen.steps == 92
    assert foreseen.seconds_low < 6 * 60
    assert spec.logging_steps * 20 <= foreseen.steps


def test_every_value_has_its_origin() -> None:
    plan = make_plan(Preset.BALANCED, {"epochs": 2, "lora_rank": 4}, facts())
    assert tuple(plan.origins) == tuple(PARAMETERS)
    assert {name for name, origin in plan.origins.items() if origin is Origin.YOU} == {"epochs", "lora_rank"}
    assert plan.origins["learning_rate"] is Origin.PRESET
    assert plan.origins["cutoff_length"] is Origin.COMPUTED
    assert (plan.spec.epochs, plan.spec.lora_rank) == (2.0, 4)


def test_tiny_data_is_seen_often() -> None:
    spec = make_plan(Preset.QUICK, {}, facts(data=TINY)).spec
    assert (spec.epochs, spec.cutoff_length, spec.logging_steps) == (10.0, 32, 1)
    assert estimate(spec, facts(data=TINY)).steps == 30


def test_a_quick_run_of_big_data_takes_a_part_of_it() -> None:
    spec = make_plan(Preset.QUICK, {}, facts(data=MILLION)).spec
    assert spec.max_samples is not None
    assert 200 <= spec.max_samples <= 400
    assert (spec.epochs, spec.validation_ratio) == (1.0, 0.1)
    assert estimate(spec, facts(data=MILLION)).steps <= 100


def test_a_million_rows_on_a_card() -> None:
    planned = facts(data=MILLION, machine=WORKSTATION)
    spec = make_plan(Preset.BALANCED, {}, planned).spec
    assert (spec.compute_type, spec.gpus_per_node, spec.effective_batch, spec.epochs) == ("bf16", 1, 16, 3.0)
    assert spec.max_samples is None
    foreseen = estimate(spec, planned)
    assert foreseen.validation_rows == 1000
    assert (spec.save_steps, spec.logging_steps) == (500, 10)
    assert spec.warmup_steps == pytest.approx(0.03 * foreseen.steps, abs=1)


def test_seven_billion_parameters_on_24_gigabytes() -> None:
    planned = facts(model=LARGE, data=MILLION, machine=WORKSTATION)
    spec = make_plan(Preset.BALANCED, {}, planned).spec
    assert (spec.learning_rate, spec.batch_size, spec.gradient_accumulation) == (1e-4, 1, 16)
    foreseen = estimate(spec, planned)
    assert 16e9 < foreseen.memory_bytes < foreseen.available_bytes
    assert not is_refused(review(spec, planned, max_lora_rank=16))


def test_an_older_card_takes_fp16() -> None:
    planned = facts(machine=replace(WORKSTATION, gpus=(OLD_CARD,)))
    assert make_plan(Preset.BALANCED, {}, planned).spec.compute_type == "fp16"


def test_the_cpu_was_asked_for_on_a_machine_with_a_card() -> None:
    spec = make_plan(Preset.BALANCED, {"gpus_per_node": 0}, facts(machine=WORKSTATION)).spec
    assert (spec.compute_type, spec.cpu) == ("fp32", 16)


def test_full_tuning_takes_a_lower_rate() -> None:
    rates = {
        method: make_plan(Preset.BALANCED, {"method": method}, facts(model=LARGE)).spec.learning_rate
        for method in ("lora", "freeze", "full")
    }
    assert rates == {"lora": 1e-4, "freeze": 5e-5, "full": 1e-5}


def test_a_given_value_changes_what_follows_from_it() -> None:
    planned = facts(data=statistics([100] * 2000), machine=WORKSTATION)
    before = make_plan(Preset.BALANCED, {}, planned).spec
    after = make_plan(Preset.BALANCED, {"epochs": 10, "batch_size": 4}, planned).spec
    assert (after.gradient_accumulation, after.effective_batch) == (4, 16)
    assert after.warmup_steps > before.warmup_steps
    assert make_plan(Preset.BALANCED, {"gradient_accumulation": 8}, planned).spec.batch_size == 2
    assert make_plan(Preset.BALANCED, {"max_samples": 50}, planned).spec.validation_ratio == 0.0


def test_given_values_that_are_none_are_all_named() -> None:
    with pytest.raises(InvalidPlan) as caught:
        make_plan(Preset.QUICK, {"epochs": 0, "method": "magic", "lora_rank": 4}, facts())
    assert [(problem.code, problem.params["name"]) for problem in caught.value.problems] == [
        ("not_above", "epochs"),
        ("unknown_choice", "method"),
    ]


@pytest.mark.parametrize(
    ("lengths", "cutoff"),
    [([100] * 99 + [5000], 128), ([100] * 90 + [5000] * 10, 2048), ([128] * 10, 128), ([129] * 10, 256), ([], 16)],
)
def test_the_cutoff_keeps_99_percent_whole(lengths: list[int], cutoff: int) -> None:
    assert recommended_cutoff(facts(data=statistics(lengths))) == cutoff


def test_the_cutoff_stays_in_the_context() -> None:
    short = replace(LARGE, context_tokens=512)
    assert recommended_cutoff(facts(model=short, data=statistics([1500] * 10))) == 512


@pytest.mark.parametrize(
    ("steps", "save", "warmup", "logging"),
    [(0, 1, 0, 1), (18, 5, 1, 1), (92, 23, 3, 2), (375, 94, 11, 9), (10_000, 500, 300, 10)],
)
def test_intervals_fit_the_run(steps: int, save: int, warmup: int, logging: int) -> None:
    assert recommended_save_steps(steps) == save
    assert recommended_warmup_steps(steps) == warmup
    assert recommended_logging_steps(steps) == logging


def test_the_recommendation_has_a_reason() -> None:
    assert recommend_preset(facts()) == (Preset.QUICK, "no_gpu")
    assert recommend_preset(facts(data=TINY)) == (Preset.BALANCED, "short")
    assert recommend_preset(facts(model=LARGE, data=MILLION, machine=WORKSTATION)) == (Preset.QUICK, "long")
    middling = facts(model=LARGE, data=statistics([100] * 3000), machine=WORKSTATION)
    assert recommend_preset(middling) == (Preset.BALANCED, "gpu")


@given(
    st.sampled_from(Preset),
    st.lists(st.integers(2, 5000), min_size=1, max_size=30),
    st.sampled_from([1, 3, 40, 1000]),
    st.sampled_from([LAPTOP, WORKSTATION, replace(WORKSTATION, gpus=(CARD, OLD_CARD))]),
)
def test_what_is_proposed_is_never_warned_of(preset: Preset, lengths: list[int], times: int, machine: object) -> None:
    planned = replace(facts(data=statistics(lengths * times)), machine=machine)  # type: ignore[arg-type]
    spec = make_plan(preset, {}, planned).spec
    findings = review(spec, planned, max_lora_rank=16)
    about_the_data = {"rows_cut", "rows_dropped", "every_row_dropped", "run_is_long", "steps_few", "batch_exceeds_rows"}
    about_values = [
        finding for finding in findings if finding.severity != "note" and finding.code not in about_the_data
    ]
    assert about_values == []


def test_custom_begins_with_balanced() -> None:
    assert make_plan(Preset.CUSTOM, {}, facts()).spec == make_plan(Preset.BALANCED, {}, facts()).spec


def test_best_learns_more() -> None:
    quick, balanced, best = (
        make_plan(preset, {}, facts(data=PERSONA)).spec for preset in (Preset.QUICK, Preset.BALANCED, Preset.BEST)
    )
    assert quick.epochs < balanced.epochs < best.epochs
    assert balanced.lora_rank < best.lora_rank <= 16
    assert quick.learning_rate > balanced.learning_rate > best.learning_rate
