from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl.trainer import utils

from tests.tiny_model import make_tiny_model
from training.trainer.head import score_only_what_is_learned


def test_the_loss_is_the_same_and_fewer_positions_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "_use_triton", utils._use_triton)  # type: ignore[attr-defined]
    model = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path / "tiny"), dtype=torch.float32)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    scored: list[int] = []
    kernel = utils._ChunkedLogProbFunction  # type: ignore[attr-defined]
    monkeypatch.setattr(kernel, "apply", counting(kernel.apply, scored))
    ids = torch.arange(40).reshape(2, 20) % 300
    labels = ids.masked_fill(torch.arange(20) < 15, -100)

    def loss_and_gradient() -> tuple[float, torch.Tensor]:
        model.zero_grad()
        loss = model(input_ids=ids, labels=labels, fused_lm_head=True).loss
        loss.backward()
        return loss.item(), model.model.layers[0].mlp.up_proj.weight.grad.clone()

    loss, gradient = loss_and_gradient()
    score_only_what_is_learned()
    quick_loss, quick_gradient = loss_and_gradient()
    assert scored == [38, 10]
    assert quick_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(quick_gradient, gradient, rtol=1e-4, atol=1e-7)


def counting(apply: Callable[..., Any], scored: list[int]) -> Callable[..., Any]:
    def counted(hidden: torch.Tensor, *rest: object) -> Any:
        scored.append(hidden.shape[0])
        return apply(hidden, *rest)

    return counted
