"""Every rule, with a plan that it speaks of, and with its remedy taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from bot.texts import LANGUAGES, texts
from tests.planning import CARD, LARGE, OLD_CARD, PERSONA, SMALL, WORKSTATION, facts, statistics
from training.facts import Facts
from training.findings import Severity
from training.presets import Preset, make_plan
from training.rules import Finding, is_refused, review
from training.spec import Value

ON_CPU = facts()
ON_GPU = facts(machine=WORKSTATION, data=statistics([100] * 2000))
ON_NODE = facts(machine=replace(WORKSTATION, memory_bytes=64 << 30, gpus=(), is_cluster=True))
WITH_PACKAGES = replace(
    ON_GPU, machine=replace(WORKSTATION, packages=frozenset({"bitsandbytes", "flash_attn", "liger_kernel", "eetq"}))
)
LONG_ROWS = facts(data=statistics([100] * 95 + [3000] * 5, questions=[50] * 97 + [2500] * 3))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A plan that a rule speaks of."""

    code: str
    severity: Severity
    given: Mapping[str, Value] = field(default_factory=dict)
    facts: Facts = ON_CPU
    is_mended: bool = True
    """Whether it has a remedy."""


CASES = [
    Case(code="no_rows", severity="refuse", facts=facts(data=statistics([])), is_mended=False),
    Case(
        code="every_row_dropped",
        severity="refuse",
        given={"cutoff_length": 64},
        facts=facts(data=statistics([200] * 20)),
    ),
    Case(
        code="no_training_rows",
        severity="refuse",
        given={"validation_ratio": 0.95},
        facts=facts(data=statistics([30] * 3)),
    ),
    Case(code="rows_dropped", severity="warn", given={"cutoff_length": 1024}, facts=LONG_ROWS),
    Case(code="rows_cut", severity="warn", given={"cutoff_length": 1024}, facts=LONG_ROWS),
    Case(code="cutoff_beyond_context", severity="refuse", given={"cutoff_length": 10_000}),
    Case(
        code="rope_scaling_when_served",
        severity="warn",
        given={"cutoff_length": 10_000, "rope_scaling": "yarn"},
    ),
    Case(code="rope_scaling_not_needed", severity="warn", given={"rope_scaling": "linear"}),
    Case(code="no_validation", severity="note", is_mended=False),
    Case(code="no_validation", severity="note", given={"validation_ratio": 0}, facts=ON_GPU),
    Case(code="validation_large", severity="warn", given={"validation_ratio": 0.8}),
    Case(code="validation_small", severity="note", given={"validation_ratio": 0.05}),
    Case(code="one_machine", severity="refuse", given={"nodes": 2}),
    Case(code="too_many_gpus", severity="refuse", given={"gpus_per_node": 4}, facts=ON_GPU),
    Case(code="no_gpu", severity="refuse", given={"gpus_per_node": 1, "compute_type": "bf16"}),
    Case(code="too_many_cores", severity="warn", given={"cpu": 8}),
    Case(code="node_cores", severity="refuse", given={"cpu": 17}, facts=ON_NODE),
    Case(code="node_memory", severity="refuse", given={"memory_gib": 65}, facts=ON_NODE),
    Case(code="pod_memory", severity="refuse", given={"memory_gib": 1}, facts=ON_NODE),
    Case(code="fp16_needs_gpu", severity="refuse", given={"compute_type": "fp16"}),
    Case(code="bf16_is_slow_on_cpu", severity="warn", given={"compute_type": "bf16"}),
    Case(
        code="bf16_not_on_this_gpu",
        severity="refuse",
        given={"compute_type": "bf16"},
        facts=replace(ON_GPU, machine=replace(WORKSTATION, gpus=(OLD_CARD,))),
    ),
    Case(code="memory_too_small", severity="refuse", facts=facts(model=LARGE), is_mended=False),
    Case(
        code="memory_too_small",
        severity="refuse",
        given={"method": "full"},
        facts=replace(ON_GPU, model=LARGE),
    ),
    Case(
        code="memory_too_small",
        severity="refuse",
        given={"batch_size": 256, "gradient_accumulation": 1},
        facts=replace(ON_GPU, data=statistics([900] * 2000)),
    ),
    Case(
        code="memory_is_taken",
        severity="warn",
        facts=replace(
            ON_GPU, model=LARGE, machine=replace(WORKSTATION, gpus=(replace(CARD, free_memory_bytes=4 << 30),))
        ),
        is_mended=False,
    ),
    Case(
        code="disk_too_small",
        severity="refuse",
        given={"method": "full"},
        facts=replace(ON_GPU, machine=replace(WORKSTATION, free_disk_bytes=10**9)),
    ),
    Case(code="run_is_long", severity="warn", facts=facts(data=statistics([500] * 50_000))),
    Case(code="learning_rate_high", severity="warn", given={"learning_rate": 0.01}),
    Case(code="learning_rate_high", severity="warn", given={"method": "full", "learning_rate": 1e-3}, facts=ON_GPU),
    Case(code="learning_rate_low", severity="warn", given={"learning_rate": 1e-6}),
    Case(code="epochs_many", severity="warn", given={"epochs": 50}),
    Case(code="steps_few", severity="warn", given={"epochs": 1, "batch_size": 8, "gradient_accumulation": 2}),
    Case(code="steps_few", severity="warn", given={"epochs": 1, "batch_size": 4, "max_samples": 20}),
    Case(code="steps_few", severity="warn", given={"epochs": 1, "batch_size": 1, "max_samples": 8}),
    Case(code="steps_few", severity="warn", given={"epochs": 1, "batch_size": 1, "max_samples": 1}, is_mended=False),
    Case(code="batch_exceeds_rows", severity="warn", given={"batch_size": 32, "gradient_accumulation": 8}),
    Case(code="warmup_exceeds_run", severity="warn", given={"warmup_steps": 500}),
    Case(code="warmup_is_long", severity="note", given={"warmup_steps": 60}),
    Case(code="save_exceeds_run", severity="warn", given={"save_steps": 1000}),
    Case(code="logging_exceeds_run", severity="warn", given={"logging_steps": 1000}),
    Case(code="no_clipping", severity="note", given={"max_grad_norm": 0}),
    Case(code="neftune_high", severity="warn", given={"neftune_alpha": 50}),
    Case(code="stage_not_here", severity="refuse", given={"stage": "dpo"}),
    Case(code="kto_batch", severity="refuse", given={"stage": "kto", "batch_size": 1}),
    Case(
        code="no_chat_template",
        severity="refuse",
        facts=facts(model=replace(SMALL, has_chat_template=False)),
        is_mended=False,
    ),
    Case(
        code="quantization_needs_lora",
        severity="refuse",
        given={"method": "full", "quantization": "int4"},
        facts=WITH_PACKAGES,
    ),
    Case(
        code="hqq_cannot_be_trained",
        severity="refuse",
        given={"quantization": "int4", "quantization_method": "hqq"},
        facts=WITH_PACKAGES,
    ),
    Case(
        code="eetq_is_int8",
        severity="refuse",
        given={"quantization": "int4", "quantization_method": "eetq"},
        facts=WITH_PACKAGES,
    ),
    Case(code="eetq_needs_gpu", severity="refuse", given={"quantization": "int8", "quantization_method": "eetq"}),
    Case(
        code="eetq_not_here",
        severity="refuse",
        given={"quantization": "int8", "quantization_method": "eetq"},
        facts=WITH_PACKAGES,
    ),
    Case(code="quantization_needs_package", severity="refuse", given={"quantization": "int4"}),
    Case(code="unsloth_not_here", severity="refuse", given={"acceleration": "unsloth"}),
    Case(code="flash_attention_needs_gpu", severity="refuse", given={"acceleration": "flash_attention_2"}),
    Case(
        code="flash_attention_needs_half",
        severity="refuse",
        given={"acceleration": "flash_attention_2", "compute_type": "fp32"},
        facts=WITH_PACKAGES,
    ),
    Case(
        code="acceleration_needs_package",
        severity="refuse",
        given={"acceleration": "flash_attention_2"},
        facts=ON_GPU,
    ),
    Case(code="acceleration_needs_package", severity="refuse", given={"acceleration": "liger"}, facts=ON_GPU),
    Case(code="liger_needs_gpu", severity="refuse", given={"acceleration": "liger"}),
    Case(code="optimizer_needs_package", severity="refuse", given={"optimizer": "lion"}),
    Case(code="sgd_is_slow", severity="warn", given={"optimizer": "sgd"}),
    Case(code="rank_cannot_be_served", severity="refuse", given={"lora_rank": 64}),
    Case(code="lora_scaling_unusual", severity="warn", given={"lora_rank": 16, "lora_alpha": 4}),
    Case(code="lora_lr_ratio_slows", severity="note", given={"lora_lr_ratio": 0.5}),
    Case(code="lora_lr_ratio_high", severity="warn", given={"lora_lr_ratio": 100}),
    Case(code="lora_dropout_high", severity="warn", given={"lora_dropout": 0.7}),
]
IDS = [f"{number}-{case.code}" for number, case in enumerate(CASES)]


def findings_of(given: Mapping[str, Value], planned: Facts) -> dict[str, Finding]:
    spec = make_plan(Preset.BALANCED, given, planned).spec
    return {finding.code: finding for finding in review(spec, planned, max_lora_rank=16)}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_rule_speaks_and_its_remedy_silences_it(case: Case) -> None:
    found = findings_of(case.given, case.facts)
    finding = found[case.code]
    assert finding.severity == case.severity
    assert (finding.remedy is not None) is case.is_mended
    if finding.remedy is not None:
        mended = findings_of({**case.given, **finding.remedy}, case.facts)
        assert case.code not in mended
        introduced = {code for code in mended if code not in found and mended[code].severity == "refuse"}
        assert introduced == set()


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_finding_has_its_sentence_and_its_remedy_a_label(case: Case, language: str) -> None:
    say, finding = texts(language), findings_of(case.given, case.facts)[case.code]
    assert say(f"finding.{finding.code}", **finding.params)
    if finding.remedy is not None:
        assert say(f"finding.{finding.code}.remedy", **(dict(finding.params) | dict(finding.remedy)))


def test_every_finding_with_a_text_has_a_case() -> None:
    catalogue = texts("en")
    codes = {case.code for case in CASES}
    said = {
        message.id.split(".")[1]
        for message in catalogue._catalog
        if isinstance(message.id, str) and message.id.startswith("finding.")
    }
    assert said == codes


def test_several_machines_are_for_a_cluster() -> None:
    spec = make_plan(Preset.QUICK, {"nodes": 2, "gpus_per_node": 0}, ON_NODE).spec
    assert "one_machine" not in {finding.code for finding in review(spec, ON_NODE, max_lora_rank=64)}


def test_refusals_come_first() -> None:
    planned = facts()
    spec = make_plan(Preset.QUICK, {"nodes": 2, "warmup_steps": 900, "stage": "ppo"}, planned).spec
    findings = review(spec, planned, max_lora_rank=16)
    assert [finding.severity for finding in findings] == ["refuse", "refuse", "warn", "note"]
    assert is_refused(findings)


def test_a_good_plan_is_left_alone() -> None:
    spec = make_plan(Preset.BALANCED, {}, ON_GPU).spec
    assert review(spec, ON_GPU, max_lora_rank=16) == ()


def test_the_guides_values_on_small_data_are_all_caught() -> None:
    given: dict[str, Value] = {"warmup_steps": 1000, "save_steps": 3000, "lora_lr_ratio": 0.5, "logging_steps": 1000}
    assert findings_of(given, facts(data=PERSONA)).keys() >= {
        "warmup_exceeds_run",
        "save_exceeds_run",
        "logging_exceeds_run",
        "lora_lr_ratio_slows",
    }


def test_a_model_that_fits_as_int4_is_offered_so() -> None:
    large = replace(LARGE, parameters=14_000_000_000, layers=48, hidden_size=5120, intermediate_size=13_824)
    finding = findings_of({}, replace(WITH_PACKAGES, model=large))["memory_too_small"]
    assert finding.remedy == {"method": "lora", "quantization": "int4", "quantization_method": "bnb"}
