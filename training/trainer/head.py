"""The language model's head, computed only where a token makes loss."""

import torch
from trl.trainer import utils


def score_only_what_is_learned() -> None:
    """Have TRL skip, on a CPU as it does on a GPU, the positions that make no loss: prompts and padding.

    TRL 1.16 (pinned) scores every position wherever Triton does not run, for the sake of accelerators that compile
    each shape anew. A CPU does not. With a vocabulary of 49,152 and the half of a batch learned, this halves the
    head's share, about a third of a step. The loss is the same; a test holds both.
    """
    runs_triton = utils._use_triton  # type: ignore[attr-defined]

    def skips(device: torch.device) -> bool:
        return device.type == "cpu" or bool(runs_triton(device))

    utils._use_triton = skips  # type: ignore[attr-defined]
