"""A run backend without processes, that behaves like the real one; the test's hand is on its clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.files import ArtifactFiles
from storage.states import RunState
from tests.tiny_adapter import write_tiny_adapter
from training.runs import (
    Attempt,
    AttemptId,
    AttemptProgress,
    AttemptStatus,
    BackendUnavailable,
    NoCapacity,
    Point,
    Preparing,
    Reason,
    Refused,
)

SECONDS_A_STEP = 2.0


@dataclass(kw_only=True)
class FakeAttempt:
    """What the fake knows of an attempt."""

    attempt: Attempt
    status: AttemptStatus
    is_stopping: bool = False
    log: list[str] = field(default_factory=list)


class FakeRuns:
    """Implements ``training.runs.RunBackend``; nothing moves but by :meth:`advance`, :meth:`finish`, :meth:`fail`.

    With ``artifacts_root``, a folder or a bucket, a trained model is written there. ``is_available`` off makes every
    call raise BackendUnavailable. ``calls`` counts what was asked, by name.
    """

    def __init__(self, artifacts_root: Path | str | None = None, *, max_running: int = 1, steps: int = 10) -> None:
        self.attempts: dict[AttemptId, FakeAttempt] = {}
        """Copied before it is gone through: the loops' threads add to it and take from it."""
        self.is_available = True
        self.takes_releases = True
        """Off: they raise BackendUnavailable, while all else goes on."""
        self.loses_answers = False
        """On: what is submitted is there, but whoever asked is not told so."""
        self.refuses: str | None = None
        """Why every attempt is refused."""
        self.preparing: set[str] = set()
        """Runs whose base model is still on its way."""
        self.calls: dict[str, int] = {}
        self._files = None if artifacts_root is None else ArtifactFiles(artifacts_root)
        self.max_running = max_running
        self._steps = steps

    # The port

    def submit(self, attempt: Attempt) -> None:
        self._called("submit")
        if attempt.id in self.attempts:
            return
        if self.refuses is not None:
            raise Refused(self.refuses)
        if attempt.id.run_id in self.preparing:
            raise Preparing(attempt.base_model)
        running = [other for other in list(self.attempts.values()) if not other.status.state.is_final]
        if len(running) >= self.max_running:
            raise NoCapacity(f"{len(running)} of {self.max_running} running")
        self.attempts[attempt.id] = FakeAttempt(attempt=attempt, status=AttemptStatus(state=RunState.PENDING))
        if self.loses_answers:
            raise BackendUnavailable("the answer was lost")

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        self._called("observe")
        return {attempt: known.status for attempt, known in list(self.attempts.items())}

    def cancel(self, attempt: AttemptId) -> None:
        self._called("cancel")
        known = self.attempts.get(attempt)
        if known is not None and not known.status.state.is_final:
            known.is_stopping = True

    def logs(self, attempt: AttemptId, *, last_lines: int, node: int = 0) -> Iterator[str]:
        self._called("logs")
        known = self.attempts.get(attempt)
        has_printed = known is not None and last_lines > 0 and node < known.attempt.spec.nodes
        yield from known.log[-last_lines:] if known is not None and has_printed else ()

    def release(self, attempt: AttemptId) -> None:
        self._called("release")
        if not self.takes_releases:
            raise BackendUnavailable("no releases, by the test")

    def delete(self, attempt: AttemptId) -> None:
        self._called("delete")
        self.attempts.pop(attempt, None)

    # The test's hand

    def advance(self, steps: int = 1, *, attempt: AttemptId | None = None) -> None:
        """Let live attempts (or one) go on: a pending one starts, a running one makes ``steps`` steps.

        One that was asked to stop stops instead, with a model if it had learned anything; the last step ends it well.
        """
        for known in self._live(attempt):
            if known.is_stopping:
                self._stop(known)
            elif known.status.state is RunState.PENDING:
                begin = AttemptProgress(
                    step=self._resume_step(known), steps=self._steps, points=self._old_points(known)
                )
                known.status = AttemptStatus(state=RunState.RUNNING, progress=begin)
                known.log.append(f"training: from step {begin.step} to {begin.steps}")
            else:
                self._train(known, steps)

    def finish(self, attempt: AttemptId | None = None) -> None:
        """Let live attempts (or one) come to their end: trained, or stopped where that was asked for."""
        for known in self._live(attempt):
            while not known.status.state.is_final:
                self.advance(self._steps, attempt=known.attempt.id)

    def fail(self, attempt: AttemptId, reason: Reason, detail: str | None = None) -> None:
        """End a live attempt badly."""
        known = self.attempts[attempt]
        known.log.append(detail or reason.value)
        known.status = replace(known.status, state=RunState.FAILED, reason=reason, detail=detail)

    def _called(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if not self.is_available:
            raise BackendUnavailable("switched off by the test")

    def _live(self, attempt: AttemptId | None) -> list[FakeAttempt]:
        chosen = list(self.attempts.values()) if attempt is None else [self.attempts[attempt]]
        return [known for known in chosen if not known.status.state.is_final]

    def _train(self, known: FakeAttempt, steps: int) -> None:
        before = known.status.progress
        last = min(before.step + steps, before.steps)
        new = [self._point(step) for step in range(before.step + 1, last + 1)]
        known.log += [f"step {point.step} of {before.steps}: training_loss {point.training_loss}" for point in new]
        progress = AttemptProgress(
            step=last,
            steps=before.steps,
            seconds_left=(before.steps - last) * SECONDS_A_STEP,
            points=(*before.points, *new),
        )
        known.status = replace(known.status, progress=progress)
        if last == before.steps:
            known.status = replace(known.status, state=RunState.SUCCEEDED, has_model=self._write_model(known))

    def _stop(self, known: FakeAttempt) -> None:
        has_learned = known.status.progress.step > 0
        known.status = replace(
            known.status,
            state=RunState.CANCELLED,
            reason=Reason.STOPPED,
            has_model=has_learned and self._write_model(known),
        )

    def _write_model(self, known: FakeAttempt) -> bool:
        if self._files is None:
            return True
        spec = known.attempt.spec
        with TemporaryDirectory() as folder:
            made = Path(folder, "model")
            write_tiny_adapter(made, self._base(known, Path(folder)), rank=spec.lora_rank, alpha=spec.lora_alpha)
            self._files.upload(made, known.attempt.model)
        return self._files.is_complete(known.attempt.model)

    def _base(self, known: FakeAttempt, folder: Path) -> Path:
        key = known.attempt.base_model.removeprefix("artifact:")
        if key == known.attempt.base_model or self._files is None:
            return Path(known.attempt.base_model)
        self._files.download(key, folder / "base")
        return folder / "base"

    def _resume_step(self, known: FakeAttempt) -> int:
        # As if a checkpoint were saved at every step.
        return max((point.step for point in self._old_points(known)), default=0)

    def _old_points(self, known: FakeAttempt) -> tuple[Point, ...]:
        run_id, number = known.attempt.id
        earlier = [self.attempts[id_] for id_ in list(self.attempts) if id_.run_id == run_id and id_.number < number]
        return earlier[-1].status.progress.points if earlier else ()

    def _point(self, step: int) -> Point:
        return Point(step=step, training_loss=round(3 / step, 3), learning_rate=1e-3)
