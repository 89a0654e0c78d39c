"""A model is served without anybody being asked for the fields: at the end of a run, or of what a stopped run saved."""

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import service_card
from bot.landing import Landing, find_landing, land
from bot.obstacles import full_reply, restart_reply
from bot.reconcile.live import say_if_changed, say_once
from bot.texts import texts
from bot.world import World
from storage.models import Host, Model, Run, Service, Thread
from storage.services import service_of
from storage.states import Wish

log = structlog.get_logger(__name__)


async def serve(
    session: AsyncSession, world: World, model: Model, run: Run, *, thread: Thread | None
) -> tuple[Service | None, list[str]]:
    """Wish for what a run made to be served. Where that would disturb others, or where there is no room, it is asked
    or said in ``thread`` instead; returns the ids of what is to be shown."""
    service = await service_of(session, model.id)
    place = await _place(session, world, service, run)
    landing = await find_landing(session, world, model, place=place, service=service)
    if landing.is_full or landing.disturbs:
        log.info("deployment.asked_about", model=model.id, is_full=landing.is_full)
        return None, await _ask(session, model, landing, thread)
    thread_id = thread.id if thread else None
    service = await land(session, model, landing, thread_id=thread_id, service=service, user_id=run.user_id)
    return service, []


async def _place(session: AsyncSession, world: World, service: Service | None, run: Run) -> str:
    if service is not None and service.wanted is Wish.UP:
        return (await session.get_one(Host, service.host_id)).place
    return world.server_place(run.place)


async def _ask(session: AsyncSession, model: Model, landing: Landing, thread: Thread | None) -> list[str]:
    if thread is None:
        return []
    base = await session.get_one(Model, landing.base_id)
    build = full_reply if landing.is_full else restart_reply
    return await say_once(session, thread, build(texts(thread.language), model, base, landing))


async def say_service(session: AsyncSession, thread: Thread, service: Service, model: Model) -> list[str]:
    """The card of a service that was just wished for."""
    host = await session.get_one(Host, service.host_id)
    return await say_if_changed(session, thread, service_card(texts(thread.language), service, host, model))
