"""What a plan is made from: the base model, the data's lengths, and the machine."""

from dataclasses import dataclass

from training.checkpoints import CheckpointFacts
from training.datasets.statistics import TokenStatistics
from training.machine import Machine

SMALL_MODEL_PARAMETERS = 1_000_000_000
"""Below this a base model takes, and needs, a higher learning rate."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a proposal, a rule or an estimate may look at."""

    model: CheckpointFacts
    data: TokenStatistics
    machine: Machine

    @property
    def is_small_model(self) -> bool:
        """Whether the base model has less than a billion parameters."""
        return self.model.parameters < SMALL_MODEL_PARAMETERS
