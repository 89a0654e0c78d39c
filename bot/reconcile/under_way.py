"""Whether anything of a thread is still under way: what ``/wait`` waits for."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import deletion_key
from storage.catalogue import fetching_models
from storage.deletion import runs_to_delete
from storage.models import Message, Run
from storage.services import services_of
from storage.states import FINAL_RUN_STATES, MessageState, ServiceState, Wish
from storage.threads import find_message, is_outbox_empty

_AT_REST = (ServiceState.READY, ServiceState.ASLEEP, ServiceState.FAILED, ServiceState.STOPPED)


async def is_under_way(session: AsyncSession, thread_id: str) -> bool:
    """A run that has not ended or is being deleted, a service that is wanted and not ready or not yet compared, an
    answer that streams, a model that is fetched, something that is still to be shown."""
    return (
        await _has_unfinished_run(session, thread_id)
        or await _has_deletion(session, thread_id)
        or await _has_unready_service(session, thread_id)
        or await _has_streaming_message(session, thread_id)
        or await _has_fetching_model(session, thread_id)
        or not await is_outbox_empty(session, thread_id)
    )


async def _has_unfinished_run(session: AsyncSession, thread_id: str) -> bool:
    query = select(Run.id).where(Run.thread_id == thread_id, Run.state.not_in(FINAL_RUN_STATES)).limit(1)
    return await session.scalar(query) is not None


async def _has_deletion(session: AsyncSession, thread_id: str) -> bool:
    for run in await runs_to_delete(session):
        if await find_message(session, thread_id, deletion_key(run.id)) is not None:
            return True
    return False


async def _has_unready_service(session: AsyncSession, thread_id: str) -> bool:
    wanted = [service for service in await services_of(session, thread_id) if service.wanted is Wish.UP]
    return any(
        service.state not in _AT_REST or (service.state is ServiceState.READY and not service.compared)
        for service in wanted
    )


async def _has_streaming_message(session: AsyncSession, thread_id: str) -> bool:
    query = select(Message.id).where(Message.thread_id == thread_id, Message.state == MessageState.STREAMING).limit(1)
    return await session.scalar(query) is not None


async def _has_fetching_model(session: AsyncSession, thread_id: str) -> bool:
    for model in await fetching_models(session):
        if await find_message(session, thread_id, f"model:{model.id}") is not None:
            return True
    return False
