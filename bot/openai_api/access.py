"""Who calls, and what their key opens."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.hosting import host_model_id
from bot.openai_api.errors import invalid_key, no_such_model, too_many_requests
from bot.openai_api.limits import RateLimits
from bot.world import World
from storage.keys import find_opened, is_use_worth_noting, key_of, note_use, services_opened_by
from storage.models import ApiKey, Model, Service


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A service that a key opens."""

    service: Service
    model: Model
    base: Model
    """The model that its host was started with."""


class Access:
    """Reads keys and services anew for every request: one that is revoked opens nothing from then on."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self._limits = RateLimits()

    async def admit(self, authorization: str | None) -> ApiKey:
        """The key in a request's header. Raises ApiError: no such key, or too many requests with it."""
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise invalid_key()
        async with self._store.reading() as session:
            key = await key_of(session, secret.strip())
        if key is None:
            raise invalid_key()
        after_s = self._limits.take(key.id, key.requests_per_minute)
        if after_s:
            raise too_many_requests(key.requests_per_minute, after_s=after_s)
        if is_use_worth_noting(key):
            async with self._store.transaction() as session:
                await note_use(session, key.id)
        return key

    async def services(self, key: ApiKey) -> Sequence[Service]:
        """The services that the key opens, by name."""
        async with self._store.reading() as session:
            return await services_opened_by(session, key)

    async def open(self, key: ApiKey, name: str) -> Opened:
        """The service of that name. Raises ApiError where there is none, or the key does not open it."""
        async with self._store.reading() as session:
            found = await find_opened(session, key, name)
            if found is None:
                raise no_such_model(name)
            service, model = found
            base = await session.get_one(Model, host_model_id(model))
        return Opened(service=service, model=model, base=base)
