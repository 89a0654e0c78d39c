"""Runs brought to their end without a training."""

from storage.runs import change_state, find_run, newest_attempt, note_attempt
from storage.states import RunState
from storage.store import Store
from training.runs import Reason


async def end_run(store: Store, name: str, state: RunState = RunState.FAILED) -> None:
    """Write the end of a run, as the loops would of a training that failed."""
    async with store.transaction() as session:
        run = await find_run(session, name)
        assert run is not None
        assert await change_state(session, run, state, reason=Reason.OUT_OF_MEMORY)
        attempt = await newest_attempt(session, run.id)
        if attempt is not None:
            note_attempt(attempt, state, reason=Reason.OUT_OF_MEMORY)
