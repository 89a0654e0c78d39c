"""Rules about the data and the cutoff: nothing is dropped in silence."""

from collections.abc import Iterator

from training.findings import Case, Finding, Rule, note, refuse, warn
from training.presets import VALIDATED_FROM_ROWS, recommended_cutoff
from training.spec import Value

FEWEST_VALIDATION_ROWS = 10
"""A validation loss of fewer rows jumps too much to be read."""


def rows(case: Case) -> Iterator[Finding]:
    """Something must be left to learn."""
    if not case.facts.data.rows:
        yield refuse("no_rows")
    elif case.foreseen.dropped_rows and not case.foreseen.training_rows + case.foreseen.validation_rows:
        yield refuse("every_row_dropped", _longer(case), cutoff=case.spec.cutoff_length)
    elif not case.foreseen.training_rows:
        yield refuse("no_training_rows", {"validation_ratio": 0.0}, validation=case.foreseen.validation_rows)


def cutoff(case: Case) -> Iterator[Finding]:
    """Rows that are not trained as written."""
    foreseen, length = case.foreseen, case.spec.cutoff_length
    dropped = foreseen.dropped_rows
    if dropped and foreseen.training_rows:
        yield warn("rows_dropped", _longer(case), rows=dropped, cutoff=length)
    cut = foreseen.cut_rows - dropped
    if cut > 0:
        longest = case.facts.data.longest
        yield warn("rows_cut", _longer(case), rows=cut, cutoff=length, longest=longest)


def _longer(case: Case) -> dict[str, Value] | None:
    """The cutoff that keeps all rows whole, or the model's context."""
    longer = recommended_cutoff(case.facts, whole=1.0, longest=case.facts.model.context_tokens)
    return {"cutoff_length": longer} if longer > case.spec.cutoff_length else None


def context(case: Case) -> Iterator[Finding]:
    """Positions that the model knows, or RoPE scaling."""
    spec, model = case.spec, case.facts.model
    beyond = spec.cutoff_length > model.context_tokens
    if beyond and spec.rope_scaling == "none":
        remedy: dict[str, Value] = {"cutoff_length": model.context_tokens}
        yield refuse("cutoff_beyond_context", remedy, cutoff=spec.cutoff_length, context=model.context_tokens)
    if beyond and spec.rope_scaling != "none":
        yield warn("rope_scaling_when_served", {"rope_scaling": "none", "cutoff_length": model.context_tokens})
    if not beyond and spec.rope_scaling != "none":
        off: dict[str, Value] = {"rope_scaling": "none"}
        yield warn("rope_scaling_not_needed", off, cutoff=spec.cutoff_length, context=model.context_tokens)


def validation(case: Case) -> Iterator[Finding]:
    """A validation set that says something."""
    foreseen, ratio = case.foreseen, case.spec.validation_ratio
    everything = foreseen.training_rows + foreseen.validation_rows
    if ratio == 0 and everything:
        remedy: dict[str, Value] | None = {"validation_ratio": 0.1} if everything >= VALIDATED_FROM_ROWS else None
        yield note("no_validation", remedy, rows=everything)
    elif ratio > 0.5 and foreseen.training_rows:
        yield warn("validation_large", {"validation_ratio": 0.1}, validation_share=ratio, rows=foreseen.training_rows)
    elif 0 < foreseen.validation_rows < FEWEST_VALIDATION_ROWS and foreseen.training_rows:
        yield note("validation_small", {"validation_ratio": 0.0}, rows=foreseen.validation_rows)


DATA_RULES: tuple[Rule, ...] = (rows, cutoff, context, validation)
