"""What happens between the steps: progress is told, a stop is heeded, a checkpoint is marked complete."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.trainer.checkpoints import Identity, mark_complete
from training.trainer.exits import BadConfiguration, Diverged, LostPeer
from training.trainer.progress import ProgressWriter
from training.trainer.stopping import StopWish, Wish

_log = logging.getLogger("trainer")
_POINTS = {"loss": "training_loss", "eval_loss": "validation_loss", "learning_rate": "learning_rate"}


class TellProgress(TrainerCallback):
    """Rank 0 writes the events and a readable line; every rank sees a loss that is no number, and ends."""

    def __init__(self, writer: ProgressWriter) -> None:
        self._writer = writer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Training begins, or goes on from a checkpoint."""
        if state.max_steps < 1:
            raise BadConfiguration("the plan comes to no step at all: more epochs or more rows are needed")
        if state.is_world_process_zero:
            self._writer.begin(state.global_step, state.max_steps)
        _log.info("training: from step %d to %d", state.global_step, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """A step is done. What is saved, and the end, are looked at first: the loss must be a number there."""
        if state.is_world_process_zero:
            self._writer.step(state.global_step, state.max_steps)
        if control.should_save or state.global_step >= state.max_steps:
            control.should_log = True
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        """A point of the curves."""
        point = {name: float((logs or {})[key]) for key, name in _POINTS.items() if key in (logs or {})}
        if not all(math.isfinite(value) for value in point.values()):
            raise Diverged(f"the loss is no number any more at step {state.global_step}")
        if point and state.is_world_process_zero:
            self._writer.point(state.global_step, **point)
            values = ", ".join(f"{name} {value:.4g}" for name, value in point.items())
            _log.info("step %d of %d: %s", state.global_step, state.max_steps, values)


class HeedStop(TrainerCallback):
    """Saves and stops at the end of a step, all ranks at the same one."""

    def __init__(self, stop: StopWish) -> None:
        self._stop = stop
        self.heeded = Wish.GO_ON
        """What was wanted when training ended before its last step."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Look whether any rank was asked to end; the last step ends by itself."""
        if state.global_step < state.max_steps and (wish := _of_all_ranks(self._stop.wish(), args.device)):
            self.heeded = wish
            control.should_log = True
            control.should_save = True
            control.should_training_stop = True


class GiveWay(TrainerCallback):
    """Ends before anything is saved, where the run's next attempt has been submitted meanwhile.

    A cluster that has lost sight of a node cannot end what trains on there, and both would write to one folder.
    """

    def __init__(self, following: Path) -> None:
        self._following = following
        """The request of the next attempt."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Look before a checkpoint is saved."""
        if control.should_save:
            self.check()

    def check(self) -> None:
        """Raise LostPeer where there is a next attempt."""
        if self._following.exists():
            raise LostPeer("the next attempt of this run has begun")


class MarkComplete(TrainerCallback):
    """Marks a checkpoint that every rank has written."""

    def __init__(self, what: Identity) -> None:
        self._identity = what

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """A checkpoint was saved."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir or ".") / f"checkpoint-{state.global_step}", self._identity)


def _of_all_ranks(wish: Wish, device: torch.device) -> Wish:
    if not torch.distributed.is_initialized():
        return wish
    shared = torch.tensor([float(wish)], device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return Wish(int(shared.item()))
