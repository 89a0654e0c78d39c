"""Base models: prepared ones are registered, wanted ones fetched from a hub."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import model_card, model_key
from bot.delivery import Delivery
from bot.reconcile.hub import fetch, fetched_bytes
from bot.reconcile.live import say_if_changed
from bot.stopping import CannotGoOnError
from bot.texts import texts
from bot.world import World
from storage.catalogue import add_model, fetching_models, models_from
from storage.database_errors import is_away
from storage.manifests import is_complete
from storage.models import Message, Model, Thread
from storage.states import ModelKind, ModelState
from training.checkpoints import CheckpointError, CheckpointFacts, inspect_checkpoint
from training.tokens import ChatTokenizer, TokenizerError

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_CARDS = 1.0


async def register_prepared(world: World) -> None:
    """Take every complete checkpoint of the home's models folder into the catalogue."""
    folders = await asyncio.to_thread(_prepared, world.settings.models_folder)
    async with world.store.reading() as session:
        known = {model.source for model in await models_from(session, [str(folder) for folder in folders])}
    for folder in folders:
        if str(folder) not in known:
            await _register(world, folder)


async def _register(world: World, folder: Path) -> None:
    try:
        facts = await asyncio.to_thread(inspect_base, folder)
    except (CheckpointError, TokenizerError) as error:
        log.warning("model.not_registered", folder=folder.name, error=str(error))
        return
    async with world.store.transaction() as session:
        await add_base(session, folder, facts)
    log.info("model.registered", name=folder.name)


def inspect_base(folder: Path) -> CheckpointFacts:
    """The facts of a base model that can be tuned and talked to. Raises CheckpointError, TokenizerError."""
    facts = inspect_checkpoint(folder)
    ChatTokenizer.from_checkpoint(folder)
    return facts


async def add_base(session: AsyncSession, folder: Path, facts: CheckpointFacts) -> Model:
    """The base model in ``folder``; the one that is there already, if there is one."""
    for model in await models_from(session, [str(folder)]):
        found = replace(facts, hub_name=model.facts.get("hub_name"))
        model.facts, model.state, model.reason = dict(found.to_json()), ModelState.READY, None
        return model
    return await add_model(
        session,
        Model(
            name=folder.name.lower(),
            kind=ModelKind.BASE,
            state=ModelState.READY,
            source=str(folder),
            facts=dict(facts.to_json()),
        ),
    )


class ModelsLoop:
    """Fetches one wanted model after the other."""

    def __init__(self, world: World, delivery: Delivery, *, endpoint: str | None = None) -> None:
        """``endpoint``: the hub's address; none: the one that its library is set to (``HF_ENDPOINT``)."""
        self._endpoint = endpoint
        self._world = world
        self._delivery = delivery
        self._fetching: asyncio.Task[None] | None = None

    async def once(self) -> None:
        """Begin the next fetch, if none is under way."""
        if self._fetching is not None and not self._fetching.done():
            return
        async with self._world.store.reading() as session:
            wanted = await fetching_models(session)
        if wanted:
            self._fetching = asyncio.create_task(self._fetch(wanted[0]))

    async def settle(self) -> None:
        """Wait for the fetch that is under way."""
        if self._fetching is not None:
            await self._fetching

    async def cancel(self) -> None:
        """Break off the fetch; it goes on at the next start."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _fetch(self, model: Model) -> None:
        name, folder = model.source.removeprefix("hub:"), self._world.settings.models_folder / model.name
        totals: list[int] = []
        telling = asyncio.create_task(self._tell(model.id, folder, totals))
        try:
            await fetch(name, folder, totals.append, endpoint=self._endpoint)
            facts = replace(await asyncio.to_thread(inspect_base, folder), hub_name=name)
        except CannotGoOnError as error:
            await self._end(model.id, reason=f"cannot.{error.code}", values=error.values)
        except CheckpointError as error:
            await self._end(model.id, reason=f"checkpoint.{error.code}", values=error.params)
        except TokenizerError as error:
            await self._end(model.id, reason=f"tokenizer_error.{error.code}", values=error.params)
        except Exception:  # whatever it is: all the others wait behind this one
            log.exception("model.not_fetched", model=model.id)
            await self._end(model.id, reason="cannot.hub_bug", values={"name": name})
        else:
            await self._end(model.id, folder=folder, facts=facts)
        finally:
            telling.cancel()
            # It may be in the middle of a sentence to the database.
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, model_id: str, folder: Path, totals: Sequence[int]) -> None:
        """Keep the card true while the fetch goes on."""
        while True:
            try:
                await self._tell_once(model_id, folder, totals)
            except Exception as error:  # the fetch goes on, and so does its card once it can
                if is_away(error):
                    log.warning("model.no_database", model=model_id)
                else:
                    log.exception("model.not_told", model=model_id)
            await asyncio.sleep(SECONDS_BETWEEN_CARDS)

    async def _tell_once(self, model_id: str, folder: Path, totals: Sequence[int]) -> None:
        done = await asyncio.to_thread(fetched_bytes, folder)
        async with self._world.store.transaction() as session:
            model = await session.get(Model, model_id)
            shown = await say_model(session, model, done=done, total=sum(totals)) if model else []
        await self._delivery.deliver(shown)

    async def _end(
        self,
        model_id: str,
        *,
        folder: Path | None = None,
        facts: CheckpointFacts | None = None,
        reason: str | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        async with self._world.store.transaction() as session:
            model = await session.get(Model, model_id)
            if model is None:
                return
            if facts is not None:
                model.state, model.source, model.facts = ModelState.READY, str(folder), dict(facts.to_json())
            else:
                model.state = ModelState.FAILED
                model.reason = orjson.dumps({"code": reason, "params": dict(values or {})}).decode()
            shown = await say_model(session, model)
        log.info("model.fetched", model=model_id, state=model.state, reason=reason)
        await self._delivery.deliver(shown)


async def say_model(session: AsyncSession, model: Model, *, done: int = 0, total: int = 0) -> list[str]:
    """The model's card, in every thread that shows it."""
    query = select(Thread).join(Message, Message.thread_id == Thread.id).where(Message.key == model_key(model.id))
    shown: list[str] = []
    for thread in (await session.scalars(query)).all():
        card = model_card(texts(thread.language), model, done=done, total=total)
        shown += await say_if_changed(session, thread, card)
    return shown


def _prepared(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and is_complete(path))
