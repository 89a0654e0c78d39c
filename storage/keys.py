"""Keys to the OpenAI-compatible endpoint: made, found by what a client sends, taken back."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import ApiKey, Model, Service, new_id, now
from storage.states import Wish

PREFIX = "tsk_"
RANDOM_BYTES = 32
ENDING_CHARACTERS = 4
BETWEEN_NOTES_OF_USE = timedelta(minutes=1)


async def make_key(
    session: AsyncSession, *, user_id: str, name: str, services: Sequence[str], requests_per_minute: int
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is nowhere kept; ``services``: ids, none for all of the owner's.

    A revoked key of the same name makes room; one that still opens something is an IntegrityError.
    """
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    await session.execute(
        delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.name == name, ApiKey.revoked_at.is_not(None))
    )
    key = ApiKey(
        id=new_id(),
        user_id=user_id,
        name=name,
        digest=digest_of(secret),
        ending=secret[-ENDING_CHARACTERS:],
        services=list(services),
        requests_per_minute=requests_per_minute,
    )
    session.add(key)
    await session.flush()
    return key, secret


def digest_of(secret: str) -> str:
    """What is kept of a key: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def key_of(session: AsyncSession, secret: str) -> ApiKey | None:
    """The key that a client sent, unless it is revoked."""
    query = select(ApiKey).where(ApiKey.digest == digest_of(secret), ApiKey.revoked_at.is_(None))
    return await session.scalar(query)


async def find_key(session: AsyncSession, *, user_id: str, name: str) -> ApiKey | None:
    """Somebody's key of that name, unless it is revoked."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.name == name, ApiKey.revoked_at.is_(None))
    return await session.scalar(query)


async def keys_of(session: AsyncSession, user_id: str) -> Sequence[ApiKey]:
    """Somebody's keys that open something, oldest first."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    return (await session.scalars(query.order_by(ApiKey.created_at, ApiKey.name))).all()


async def revoke_key(session: AsyncSession, key_id: str) -> None:
    """Take a key back: the next request with it is refused."""
    key = await session.get(ApiKey, key_id, populate_existing=True)
    if key is not None:
        key.revoked_at = key.revoked_at or now()


def is_use_worth_noting(key: ApiKey) -> bool:
    """Whether the last use that is noted is older than a minute: not every request writes."""
    return key.used_at is None or now() - key.used_at > BETWEEN_NOTES_OF_USE


async def note_use(session: AsyncSession, key_id: str) -> None:
    """Note that a key was used just now."""
    key = await session.get(ApiKey, key_id, populate_existing=True)
    if key is not None:
        key.used_at = now()


async def services_open_to(session: AsyncSession, user_id: str) -> Sequence[Service]:
    """The services that somebody's keys may open, by name: their own, and those that are everyone's."""
    return (await session.scalars(select(Service).where(*_is_open_to(user_id)).order_by(Service.name))).all()


async def services_opened_by(session: AsyncSession, key: ApiKey) -> Sequence[Service]:
    """The services that a key opens, by name."""
    return [service for service in await services_open_to(session, key.user_id) if _opens(key, service)]


async def find_opened(session: AsyncSession, key: ApiKey, name: str) -> tuple[Service, Model] | None:
    """The service of that name with its model, if the key opens it."""
    query = select(Service, Model).join(Model, Model.id == Service.model_id).where(Service.name == name)
    found = (await session.execute(query.where(*_is_open_to(key.user_id)))).first()
    return (found[0], found[1]) if found is not None and _opens(key, found[0]) else None


def _is_open_to(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return Service.wanted == Wish.UP, or_(Service.user_id == user_id, Service.user_id.is_(None))


def _opens(key: ApiKey, service: Service) -> bool:
    return not key.services or service.id in key.services
