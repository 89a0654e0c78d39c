"""Everything that is wrong or surprising about a plan, said before it starts."""

from training.estimate import estimate
from training.facts import Facts
from training.findings import Case
from training.findings import Finding as Finding
from training.rules_of_data import DATA_RULES
from training.rules_of_hardware import HARDWARE_RULES
from training.rules_of_learning import LEARNING_RULES
from training.rules_of_methods import METHOD_RULES
from training.spec import TrainingSpec

RULES = (*METHOD_RULES, *HARDWARE_RULES, *DATA_RULES, *LEARNING_RULES)
ORDER = {"refuse": 0, "warn": 1, "note": 2}


def review(spec: TrainingSpec, facts: Facts, *, max_lora_rank: int) -> tuple[Finding, ...]:
    """All findings, refusals first; ``max_lora_rank`` is the highest rank that the model server takes."""
    case = Case(spec=spec, facts=facts, foreseen=estimate(spec, facts), max_lora_rank=max_lora_rank)
    findings = [finding for rule in RULES for finding in rule(case)]
    return tuple(sorted(findings, key=lambda finding: ORDER[finding.severity]))


def is_refused(findings: tuple[Finding, ...]) -> bool:
    """Whether one of them forbids the start."""
    return any(finding.severity == "refuse" for finding in findings)
