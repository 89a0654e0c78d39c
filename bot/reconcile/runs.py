"""Runs: queued ones are submitted, all others followed to their end."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import run_card
from bot.delivery import Delivery
from bot.reconcile.attempts import NotYetError, build_attempt
from bot.reconcile.ending import End, end_run, look_at_end
from bot.reconcile.live import recorded_progress, say_if_changed
from bot.reconcile.room import needs_all_gpus
from bot.texts import texts
from bot.world import World
from storage.artifact_errors import ArtifactError, NoRoom
from storage.files import ArtifactFiles
from storage.models import Attempt, Model, Run, Thread
from storage.runs import (
    change_state,
    get_run,
    newest_attempt,
    note_attempt,
    save_points,
    unfinished_runs,
)
from storage.states import RunState
from training.runs import (
    AttemptId,
    AttemptStatus,
    BackendUnavailable,
    CannotLaunch,
    NoCapacity,
    Observed,
    Point,
    Preparing,
    Reason,
    Refused,
    Waiting,
)
from training.vanished import find_left

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_CARDS = 1.0
PATIENCE = timedelta(seconds=5)
"""With a bucket that does not answer: the next pass is a second away."""
SECONDS_OF_LATE_SUBMISSIONS = 120.0
"""How long a submission whose answer was lost may still come into being, and be seen."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the last record of an attempt was made of."""

    status: AttemptStatus
    stop_wanted: bool
    at: float
    """Of the monotonic clock."""


class RunsLoop:
    """One pass after the other; what it remembers only saves work."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery
        self._files = ArtifactFiles(world.settings.artifacts_root, patience=PATIENCE)
        self._seen: dict[AttemptId, _Seen] = {}
        self._tidied: set[AttemptId] = set()
        """Attempts that nothing more is to be done about."""
        self._is_tidy = False
        """Whether the last look found nothing that is still to be given back; before the first one nobody knows."""
        self._looks_until = 0.0
        """Of the monotonic clock: till then what was not taken for submitted may still turn up."""

    async def once(self) -> None:
        """Follow what is under way, then submit what waits."""
        async with self._world.store.reading() as session:
            runs = await unfinished_runs(session)
            attempts = {run.id: await newest_attempt(session, run.id) for run in runs}
        if not runs:
            self._seen.clear()
            if self._is_tidy and time.monotonic() > self._looks_until:
                return
        try:
            observed = await asyncio.to_thread(self._world.runs.observe)
        except BackendUnavailable:
            log.warning("runs.not_observed")
            return
        away = _Away(observed.away if isinstance(observed, Observed) else ())
        for run in runs:
            await self._follow_if_possible(run, attempts[run.id], observed, away)
        self._is_tidy = await self._release_ended(observed) and not away
        await self._submit_queued(away)

    async def _release_ended(self, observed: Mapping[AttemptId, AttemptStatus]) -> bool:
        """Have the backend give back what attempts hold whose end is on record, whatever they do by now; once each.

        False where one is left over for the next pass.
        """
        self._tidied &= observed.keys()
        unsure = [each for each in observed if each not in self._tidied and not self._is_live(each)]
        if not unsure:
            return True
        async with self._world.store.reading() as session:
            rows = {each: await session.get(Attempt, tuple(each)) for each in unsure}
        for attempt, row in rows.items():
            if row is not None and not row.state.is_final:
                continue
            try:
                if row is not None:  # else it is somebody else's
                    await asyncio.to_thread(self._world.runs.release, attempt)
                self._tidied.add(attempt)
            except BackendUnavailable as error:
                log.warning("run.not_released", run=attempt.run_id, error=str(error))
        return self._tidied.issuperset(each for each, row in rows.items() if row is None or row.state.is_final)

    def _is_live(self, attempt: AttemptId) -> bool:
        return attempt in self._seen and not self._seen[attempt].status.state.is_final

    async def _follow_if_possible(
        self, run: Run, attempt: Attempt | None, observed: Mapping[AttemptId, AttemptStatus], away: "_Away"
    ) -> None:
        is_known = attempt is None or AttemptId(run.id, attempt.number) in observed
        if away.has(run) and not is_known:
            return
        try:
            await self._follow(run, attempt, observed)
        except BackendUnavailable as error:
            log.warning("run.place_away", run=run.id, place=run.place, error=str(error))
            away.add(run)
        except ArtifactError as error:
            # Nothing was recorded of its end: the next pass looks again.
            log.warning("run.not_followed", run=run.id, error=str(error))
            if isinstance(error, NoRoom):
                await self._say_waiting(run.id, None, Waiting(code="no_room"))

    async def _follow(self, run: Run, attempt: Attempt | None, observed: Mapping[AttemptId, AttemptStatus]) -> None:
        number = attempt.number if attempt and not attempt.state.is_final else None
        attempt_id = AttemptId(run.id, number) if number else None
        status = observed.get(attempt_id) if attempt_id else None
        if attempt_id and status is None and self._was_accepted(run, attempt):
            status = await asyncio.to_thread(find_left, self._files, attempt_id)
        if run.stop_wanted and not run.state.is_final:
            if attempt_id is None or status is None:
                await self._cancel_unbegun(run.id)
                return
            await asyncio.to_thread(self._world.runs.cancel, attempt_id)
        elif attempt is None or attempt.state in (RunState.QUEUED, *_ENDS):
            return  # it is to be submitted (again): nothing is known of it for sure
        elif status is None and self._world.lacks(run.place):
            await self._say_no_place(run)
            return
        if attempt_id is not None:
            await self._record(run, attempt_id, status or _VANISHED)

    def _was_accepted(self, run: Run, attempt: Attempt | None) -> bool:
        """Whether its place has had an attempt, and is asked: what it does not know any more has ended."""
        return attempt is not None and attempt.state is not RunState.QUEUED and not self._world.lacks(run.place)

    async def _cancel_unbegun(self, run_id: str) -> None:
        async with self._world.store.transaction() as session:
            run = await get_run(session, run_id)
            attempt = await newest_attempt(session, run_id)
            if run is None or not await change_state(session, run, RunState.CANCELLED, reason=Reason.STOPPED):
                return
            if attempt is not None:
                note_attempt(attempt, RunState.CANCELLED, reason=Reason.STOPPED)
            shown = await self._say_card(session, run)
        await self._delivery.deliver(shown)

    async def _record(self, run: Run, attempt_id: AttemptId, status: AttemptStatus) -> None:
        if not self._is_news(run, attempt_id, status):
            return
        end = await look_at_end(self._world, run, attempt_id, status)
        before = self._seen.get(attempt_id)
        async with self._world.store.transaction() as session:
            row = await get_run(session, run.id)
            attempt = await session.get(Attempt, tuple(attempt_id))
            if row is None or attempt is None or row.state.is_final:
                return
            await save_points(session, row.id, _new_points(before.status if before else None, status))
            note_attempt(attempt, status.state, reason=status.reason)
            if end is None:
                await change_state(session, row, status.state)
                shown = await self._say_card(session, row, status=status, number=attempt_id.number)
            else:
                shown = await end_run(session, self._world, row, attempt_id, end)
        self._seen[attempt_id] = _Seen(status=status, stop_wanted=run.stop_wanted, at=time.monotonic())
        if before is None or before.status.state is not status.state:
            log.info("run.observed", run=run.id, attempt=attempt_id.number, state=status.state, reason=status.reason)
        await self._delivery.deliver(shown)
        if status.state.is_final:
            self._world.wake()

    def _is_news(self, run: Run, attempt_id: AttemptId, status: AttemptStatus) -> bool:
        """Whether a record would change anything; mere progress only once a second."""
        seen = self._seen.get(attempt_id)
        if seen is None or seen.status.state is not status.state or seen.stop_wanted != run.stop_wanted:
            return True
        return seen.status != status and time.monotonic() - seen.at >= SECONDS_BETWEEN_CARDS

    async def _submit_queued(self, away: "_Away") -> None:
        async with self._world.store.reading() as session:
            runs = await unfinished_runs(session)
        if not runs:
            return
        blocked: set[str | None] = set()
        for ahead, run in pairwise([None, *runs]):
            if run is None or run.state is not RunState.QUEUED or run.stop_wanted:
                continue
            if self._world.lacks(run.place):
                await self._say_no_place(run)
            elif away.has(run):
                await self._say_away(run)
            elif run.place in blocked or await self._is_held_back(run):
                blocked.add(run.place)
                await self._say_waiting(run.id, ahead.name if ahead else None)
            elif not await self._submit(run.id, ahead.name if ahead else None):
                blocked.add(run.place)

    async def _is_held_back(self, run: Run) -> bool:
        """Whether a model server has to leave the only card first."""
        if not needs_all_gpus(self._world.trainer(run.place), run):
            return False
        return bool(await asyncio.to_thread(self._world.servers.observe))

    async def _submit(self, run_id: str, ahead: str | None) -> bool:
        """Submit a queued run; False where the backend has no room, so that later ones need not be tried."""
        try:
            async with self._world.store.transaction() as session:
                run = await get_run(session, run_id)
                if run is None or run.stop_wanted or run.state is not RunState.QUEUED:
                    return True
                attempt = await build_attempt(session, self._world, run)
            await asyncio.to_thread(self._world.runs.submit, attempt)
        except NoCapacity:
            await self._say_waiting(run_id, ahead)
            return False
        except NotYetError as not_yet:
            await self._say_waiting(run_id, not_yet.base_name)
            return True
        except Preparing:
            await self._say_waiting(run_id, None, Waiting(code="base"))
            return True
        except Refused as refused:
            await self._end_refused(attempt.id, str(refused))
            return True
        except CannotLaunch as error:
            log.warning("run.not_launched", run=run_id, error=str(error))
            await self._say_waiting(run_id, None, error.waiting)
            return False
        except BackendUnavailable as error:
            log.warning("run.not_submitted", run=run_id, error=str(error))
            self._looks_until = time.monotonic() + SECONDS_OF_LATE_SUBMISSIONS
            return False
        log.info("run.submitted", run=run_id, attempt=attempt.id.number)
        await self._note_submitted(attempt.id)
        return True

    async def _note_submitted(self, attempt_id: AttemptId) -> None:
        async with self._world.store.transaction() as session:
            run = await get_run(session, attempt_id.run_id)
            row = await session.get(Attempt, tuple(attempt_id))
            if run is None or row is None:
                return
            note_attempt(row, RunState.PENDING)
            await change_state(session, run, RunState.PENDING)
            shown = await self._say_card(session, run, number=attempt_id.number)
        await self._delivery.deliver(shown)

    async def _end_refused(self, attempt_id: AttemptId, words: str) -> None:
        status = AttemptStatus(state=RunState.FAILED, reason=Reason.REFUSED, detail=words)
        async with self._world.store.transaction() as session:
            run = await get_run(session, attempt_id.run_id)
            row = await session.get(Attempt, tuple(attempt_id))
            if run is None or row is None:
                return
            note_attempt(row, status.state, reason=status.reason)
            shown = await end_run(session, self._world, run, attempt_id, End(status=status))
        await self._delivery.deliver(shown)

    async def _say_waiting(self, run_id: str, ahead: str | None, waiting: Waiting | None = None) -> None:
        async with self._world.store.transaction() as session:
            run = await get_run(session, run_id)
            shown = await self._say_card(session, run, waits_for=ahead, waiting=waiting) if run else []
        await self._delivery.deliver(shown)

    async def _say_no_place(self, run: Run) -> None:
        """Its place is none of ours any more: whoever looks after the settings can bring it back, and it goes on."""
        await self._say_waiting(run.id, None, Waiting(code="no_place", params={"place": run.place or ""}))

    async def _say_away(self, run: Run) -> None:
        if run.place is not None:
            await self._say_waiting(run.id, None, Waiting(code="away", params={"place": run.place}))

    async def _say_card(
        self,
        session: AsyncSession,
        run: Run,
        *,
        status: AttemptStatus | None = None,
        number: int = 1,
        waits_for: str | None = None,
        waiting: Waiting | None = None,
    ) -> Sequence[str]:
        thread = await session.get(Thread, run.thread_id) if run.thread_id else None
        if thread is None:
            return ()
        base = await session.get_one(Model, run.base_model_id)
        card = run_card(
            texts(thread.language),
            run,
            progress=status.progress if status else await recorded_progress(session, run),
            base_name=base.name,
            waits_for=waits_for,
            waiting=status.waiting if status else waiting,
            attempt=number,
        )
        return await say_if_changed(session, thread, card)


class _Away:
    """The places that do not answer in this pass. A run without a place may be at any of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str | None] = set(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def has(self, run: Run) -> bool:
        """Whether nothing can be done for ``run`` now."""
        return run.place in self._names if run.place is not None else bool(self._names)

    def add(self, run: Run) -> None:
        """The place of ``run`` did not answer."""
        self._names.add(run.place)


_ENDS = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)

_VANISHED = AttemptStatus(state=RunState.FAILED, reason=Reason.KILLED)
"""Of an attempt that was accepted once, that the backend does not know any more, and that left no word."""


def _new_points(before: AttemptStatus | None, status: AttemptStatus) -> Sequence[Point]:
    known = frozenset(before.progress.points) if before else frozenset()
    return [point for point in status.progress.points if point not in known]
