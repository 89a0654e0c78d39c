"""Hosts and services: what is wanted of them, and what was found."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Host, Model, Service, Thread, new_id, now
from storage.names import free_name
from storage.states import HostState, ServiceState, Wish


async def want_host(session: AsyncSession, base_model_id: str, *, place: str = "") -> Host:
    """Wish for the host of a base model to be up; one that had been given up is tried again, one asleep wakes."""
    host = await find_host(session, base_model_id, place)
    if host is None:
        host = Host(id=new_id(), base_model_id=base_model_id, place=place, state=HostState.STOPPED, settings={})
        session.add(host)
    if host.state is HostState.FAILED:
        change_host(host, HostState.STOPPED)
        host.settings = {name: value for name, value in host.settings.items() if name != "failures"}
    host.wanted, host.is_asleep = Wish.UP, False
    host.used_at = now()
    await session.flush()
    return host


async def want_service(
    session: AsyncSession,
    model: Model,
    *,
    host: Host,
    thread_id: str | None,
    service: Service | None = None,
    name: str | None = None,
    user_id: str | None = None,
) -> Service:
    """Wish for a model to be served on ``host``: by ``service``, whatever that served before, else by a new one.

    ``name``: of a new one, free; None: made of the model's. ``user_id``: who asks.
    """
    if service is None:
        name = name or await free_name(session, Service.name, model.name)
        service = Service(id=new_id(), name=name, model_id=model.id, host_id=host.id, state=ServiceState.WAITING)
        service.compared = False
        session.add(service)
    if (service.model_id, service.host_id) != (model.id, host.id):
        service.model_id, service.host_id, service.compared = model.id, host.id, False
        change_service(service, ServiceState.WAITING)
    if service.wanted is not Wish.UP or service.state in (ServiceState.FAILED, ServiceState.STOPPED):
        change_service(service, ServiceState.WAITING)
    service.wanted = Wish.UP
    service.thread_id = thread_id or service.thread_id
    service.user_id = service.user_id or user_id
    await session.flush()
    return service


def change_host(host: Host, state: HostState, *, reason: str | None = None) -> bool:
    """The one way in which a host's state changes; False where nothing does."""
    if (host.state, host.reason) == (state, reason):
        return False
    host.state, host.reason = state, reason
    return True


def change_service(service: Service, state: ServiceState, *, reason: str | None = None) -> bool:
    """The one way in which a service's state changes; False where nothing does."""
    if (service.state, service.reason) == (state, reason):
        return False
    service.state, service.reason = state, reason
    service.updated_at = now()
    return True


async def get_service(session: AsyncSession, service_id: str) -> Service | None:
    """The service as it is now."""
    return await session.get(Service, service_id, populate_existing=True)


async def get_host(session: AsyncSession, host_id: str) -> Host | None:
    """The host as it is now."""
    return await session.get(Host, host_id, populate_existing=True)


async def find_host(session: AsyncSession, base_model_id: str, place: str) -> Host | None:
    """The host of a base model in a place."""
    return await session.scalar(select(Host).where(Host.base_model_id == base_model_id, Host.place == place))


async def services_on(session: AsyncSession, host_id: str) -> Sequence[Service]:
    """The services that should be up on a host, oldest first."""
    query = select(Service).where(Service.host_id == host_id, Service.wanted == Wish.UP)
    return (await session.scalars(query.order_by(Service.created_at, Service.name))).all()


async def service_of(session: AsyncSession, model_id: str) -> Service | None:
    """The service of a model, the oldest where it has several."""
    return next(iter(await services_of_model(session, model_id)), None)


async def services_of_model(session: AsyncSession, model_id: str) -> Sequence[Service]:
    """The services of a model, oldest first."""
    query = select(Service).where(Service.model_id == model_id).order_by(Service.created_at, Service.name)
    return (await session.scalars(query)).all()


async def find_service(session: AsyncSession, name: str) -> Service | None:
    """The service of that name."""
    return await session.scalar(select(Service).where(Service.name == name))


async def all_hosts(session: AsyncSession) -> Sequence[Host]:
    """All hosts, oldest first."""
    return (await session.scalars(select(Host).order_by(Host.created_at, Host.id))).all()


async def all_services(session: AsyncSession) -> Sequence[Service]:
    """All services, oldest first."""
    return (await session.scalars(select(Service).order_by(Service.created_at, Service.name))).all()


async def wanted_services(session: AsyncSession) -> Sequence[Service]:
    """The services that should be up, oldest first."""
    query = select(Service).where(Service.wanted == Wish.UP).order_by(Service.created_at, Service.name)
    return (await session.scalars(query)).all()


async def services_of(session: AsyncSession, thread_id: str) -> Sequence[Service]:
    """The services whose card lives in a thread, oldest first."""
    query = select(Service).where(Service.thread_id == thread_id).order_by(Service.created_at, Service.name)
    return (await session.scalars(query)).all()


async def threads_talking_to(session: AsyncSession, service_id: str) -> Sequence[Thread]:
    """The threads whose plain messages go to a service."""
    return (await session.scalars(select(Thread).where(Thread.service_id == service_id))).all()
