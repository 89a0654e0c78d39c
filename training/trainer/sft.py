"""The recipe of the stage ``sft``: supervised fine-tuning on conversations, top to bottom."""

import logging
import math
import os
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from training.duration import EVALUATIONS
from training.layout import run_folder
from training.runs import Attempt
from training.spec import TrainingSpec
from training.tokens import Encoded
from training.trainer.callbacks import GiveWay, HeedStop, MarkComplete, TellProgress
from training.trainer.checkpoints import check_identity, find_complete, identity, remove_incomplete, require_the_same
from training.trainer.data import Examples, prepare
from training.trainer.exits import BadConfiguration, Interrupted, Stopped
from training.trainer.head import score_only_what_is_learned
from training.trainer.model import build_model, build_optimizer, check_means, saves_memory
from training.trainer.progress import ProgressWriter
from training.trainer.request import base_model_folder
from training.trainer.saving import save_model
from training.trainer.stopping import StopWish, Wish

_log = logging.getLogger("trainer")
_OPTIMIZERS = {"adamw": "adamw_torch_fused", "lion": "lion_32bit"}
"""The form's names -> transformers' own, where they differ."""


def train(root: Path, attempt: Attempt, stop: StopWish) -> None:
    """Train ``attempt`` and save its model, also after a stop. Raises Ended and whatever the libraries raise."""
    spec = attempt.spec
    folder = run_folder(root, attempt.id.run_id)
    base = base_model_folder(root, attempt)
    is_first = os.environ["RANK"] == "0"

    check_means(spec)
    examples = prepare(root, attempt)
    stop.check()

    try:
        config = training_config(spec, examples, folder.checkpoints, recomputes=saves_memory(base, spec))
        model = build_model(base, spec)
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (ValueError, ImportError) as error:
        raise BadConfiguration(str(error)) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    stop.check()

    score_only_what_is_learned()
    heed_stop = HeedStop(stop)
    give_way = GiveWay(folder.attempt(attempt.id.number + 1).request)
    what = identity(attempt)
    progress = ProgressWriter(folder.attempt(attempt.id.number).progress)
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=_as_dataset(examples.training),
        eval_dataset=_as_dataset(examples.validation) if examples.validation else None,
        processing_class=tokenizer,
        callbacks=[TellProgress(progress), heed_stop, give_way, MarkComplete(what)],
        optimizers=(build_optimizer(model, spec, config), None),
    )
    trainer.remove_callback(PrinterCallback)

    checkpoint = _find_checkpoint(root, attempt)
    # Every rank has chosen its checkpoint before one is deleted.
    require_the_same(_of_all_ranks(None if checkpoint is None else checkpoint.relative_to(root).as_posix()))
    if checkpoint is not None:
        check_identity(checkpoint, what)
        _log.info("training: goes on from %s", checkpoint.name)
    if is_first:
        remove_incomplete(folder.checkpoints)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    if heed_stop.heeded is Wish.INTERRUPT:
        raise Interrupted(f"interrupted at step {trainer.state.global_step}; the next attempt goes on from there")
    give_way.check()
    if is_first:
        save_model(trainer.accelerator.unwrap_model(trainer.model), base, root / attempt.model)
        _log.info("saved: %s", attempt.model)
    if heed_stop.heeded is Wish.STOP:
        raise Stopped("stopped; what was learned is saved")


def training_config(spec: TrainingSpec, examples: Examples, checkpoints: Path, *, recomputes: bool) -> SFTConfig:
    """The libraries' configuration of a plan: every switch that matters is set, none is left to a default.

    ``recomputes``: compute the activations twice instead of keeping them.
    """
    has_gpu = torch.cuda.is_available()
    evaluates = bool(examples.validation)
    return SFTConfig(
        output_dir=str(checkpoints),
        use_cpu=not has_gpu,
        ddp_backend="nccl" if has_gpu else "gloo",
        bf16=spec.compute_type == "bf16",
        fp16=spec.compute_type == "fp16",
        learning_rate=spec.learning_rate,
        num_train_epochs=spec.epochs,
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        max_grad_norm=spec.max_grad_norm,
        lr_scheduler_type=spec.scheduler,
        warmup_steps=spec.warmup_steps,
        optim=_OPTIMIZERS.get(spec.optimizer, spec.optimizer),
        neftune_noise_alpha=spec.neftune_alpha,
        use_liger_kernel=spec.acceleration == "liger",
        seed=spec.seed,
        logging_steps=spec.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_steps=spec.save_steps,
        save_total_limit=2,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=max(spec.logging_steps, math.ceil(count_steps(spec, len(examples.training)) / EVALUATIONS)),
        prediction_loss_only=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        activation_checkpointing=recomputes,
        dataloader_pin_memory=has_gpu,
        report_to="none",
        disable_tqdm=True,
    )


def count_steps(spec: TrainingSpec, examples: int) -> int:
    """How many optimizer steps the plan comes to, as transformers counts them."""
    batches = math.ceil(examples / (spec.batch_size * spec.processes))
    return math.ceil(math.ceil(batches / spec.gradient_accumulation) * spec.epochs)


def _find_checkpoint(root: Path, attempt: Attempt) -> Path | None:
    own = find_complete(run_folder(root, attempt.id.run_id).checkpoints)
    if own is not None or attempt.resumes_from is None:
        return own
    return find_complete(run_folder(root, attempt.resumes_from).checkpoints)


def _of_all_ranks(word: str | None) -> list[str | None]:
    if not torch.distributed.is_initialized():
        return [word]
    words: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(words, word)
    return words


def _as_dataset(examples: tuple[Encoded, ...]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [list(example.input_ids) for example in examples],
            "labels": [list(example.labels) for example in examples],
        }
    )
