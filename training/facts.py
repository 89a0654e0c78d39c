"""What a plan is made from: the base model, the data's lengths, and the machine."""

from dataclasses import dataclass
from typing import Protocol

from training.checkpoints import CheckpointFacts
from training.machine import Machine

SMALL_MODEL_PARAMETERS = 1_000_000_000
"""Below this a base model takes, and needs, a higher learning rate."""


class Lengths(Protocol):
    """The data's rows by their tokens, template included: ``training.datasets.TokenStatistics`` for one."""

    @property
    def rows(self) -> int:
        """How many there are."""

    @property
    def longest(self) -> int:
        """Tokens of the longest row; 0 without rows."""

    def percentile(self, p: float) -> int:
        """The length that a share ``p`` (0 to 1) of the rows does not exceed."""

    def rows_longer_than(self, n: int) -> int:
        """Rows of more than ``n`` tokens."""

    def answers_cut_whole(self, n: int) -> int:
        """Rows of which nothing that is learned is left after ``n`` tokens."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a proposal, a rule or an estimate may look at."""

    model: CheckpointFacts
    data: Lengths
    machine: Machine

    @property
    def is_small_model(self) -> bool:
        """Whether the base model has less than a billion parameters."""
        return self.model.parameters < SMALL_MODEL_PARAMETERS
