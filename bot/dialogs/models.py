"""The catalogue: what is here, and a person's own models."""

import asyncio
import re
from pathlib import Path

from bot.cards import model_card, model_line
from bot.commands import Request
from bot.context import Context
from bot.dialogs.rights import may_manage
from bot.reconcile.models import add_base, inspect_base
from bot.replies import Choice, Item, Listing, Text, Tone
from bot.texts import Texts
from storage.catalogue import add_model, models_from, models_of
from storage.models import Model
from storage.services import service_of
from storage.states import ModelKind, ModelState, ServiceState, Wish
from training.checkpoints import CheckpointError
from training.tokens import TokenizerError

_HUB_NAME = re.compile(r"(?=.{,96}$)[\w.-]+/[\w.-]+", re.ASCII)
_TONES: dict[ModelState, Tone] = {ModelState.FAILED: "bad", ModelState.READY: "good"}


async def list_or_add(context: Context, request: Request) -> None:
    """``/models``: the list; ``/models add FOLDER``, ``/models add ORGANISATION/NAME``: one more."""
    word, _, source = request.arguments.partition(" ")
    if word.lower() in ("add", "添加", "接入"):
        await _add(context, source.strip().strip("\"'"))
    else:
        await _list(context)


async def _list(context: Context) -> None:
    text = context.texts
    bases = [_base_item(text, model) for model in await models_of(context.session, ModelKind.BASE)]
    tuned = [await _tuned_item(context, model) for model in await models_of(context.session, ModelKind.TUNED)]
    await context.reply(
        Listing(
            title=text("models.title"),
            items=(*tuned, *bases),
            empty=text("models.empty"),
            choices=(Choice(say="/models add", label=text("models.add")),),
        )
    )


def _base_item(text: Texts, model: Model) -> Item:
    if model.state is ModelState.READY:
        choices = (Choice(say=f"/finetune base_model={model.name}", label=text("models.choice.tune")),)
        return Item(title=model.name, detail=model_line(text, model), status=text("models.base"), choices=choices)
    card = model_card(text, model)
    return Item(title=model.name, detail=card.note, status=card.status, tone=card.tone, choices=card.choices)


async def _tuned_item(context: Context, model: Model) -> Item:
    text = context.texts
    base = await context.session.get_one(Model, model.base_model_id) if model.base_model_id else None
    service = await service_of(context.session, model.id)
    is_up = service is not None and service.wanted is Wish.UP
    label, command = ("models.choice.chat", "chat") if is_up else ("models.choice.deploy", "deploy")
    name = service.name if is_up and service else model.name
    is_ready = is_up and service is not None and service.state is ServiceState.READY
    return Item(
        title=model.name,
        detail=text("models.tuned_from", base=base.name if base else "?", time=text.time(model.created_at)),
        status=text("models.tuned_served" if is_up else "models.tuned"),
        tone="good" if is_ready else "plain",
        choices=(Choice(say=f"/{command} {name}", label=text(label)),),
    )


async def _add(context: Context, source: str) -> None:
    folder = _as_folder(source)
    if not source:
        await context.reply(Text(markdown=context.texts("models.how_to_add")))
    elif not await may_manage(context):
        return
    elif folder is not None:
        _add_folder(context, folder)
    elif _HUB_NAME.fullmatch(source):
        await _add_from_hub(context, source)
    else:
        text = context.texts("models.no_source", source=source)
        await context.refuse(Text(markdown=text, tone="warning"))


def _as_folder(source: str) -> Path | None:
    """The folder that is meant; None where it can only be a name of the hub."""
    folder = Path(source).expanduser()
    return folder.absolute() if folder.is_absolute() or folder.is_dir() else None


def _add_folder(context: Context, folder: Path) -> None:
    world, speaking = context.world, context.speaking
    thread_id, text = context.thread.id, context.texts

    async def act() -> bool:
        try:
            facts = await asyncio.to_thread(inspect_base, folder)
        except (CheckpointError, TokenizerError) as error:
            kind = "checkpoint" if isinstance(error, CheckpointError) else "tokenizer_error"
            sentence = text(f"{kind}.{error.code}", **error.params)
            await speaking.tell(thread_id, Text(markdown=sentence, tone="bad"))
            return False
        async with world.store.transaction() as session:
            model = await add_base(session, folder, facts)
        tune = Choice(say=f"/finetune base_model={model.name}", label=text("models.choice.tune"), style="primary")
        sentence = text("models.added", name=model.name, facts=model_line(text, model))
        await speaking.tell(thread_id, Text(markdown=sentence, choices=(tune,), tone="good"))
        return True

    context.afterwards.append(act)


async def _add_from_hub(context: Context, name: str) -> None:
    """The models loop fetches it; its card shows how far it is."""
    known = await models_from(context.session, [f"hub:{name}"])
    model = known[0] if known else None
    if model is None:
        if here := await _is_here(context, name):
            await context.reply(Text(markdown=here))
            return
        short = name.rsplit("/", 1)[-1].lower()
        model = Model(name=short, kind=ModelKind.BASE, state=ModelState.FETCHING, source=f"hub:{name}", facts={})
        await add_model(context.session, model)
    model.state, model.reason = ModelState.FETCHING, None
    await context.reply(model_card(context.texts, model))


async def _is_here(context: Context, name: str) -> str:
    """The sentence that a model of the hub is here already; empty where it is not."""
    for model in await models_of(context.session, ModelKind.BASE):
        if str(model.facts.get("hub_name", "")).casefold() == name.casefold():
            return context.texts("models.here", name=model.name)
    folder = str(context.world.settings.models_folder / name.rsplit("/", 1)[-1].lower())
    for model in await models_from(context.session, [folder]):
        if not model.facts.get("hub_name"):
            return context.texts("models.here_prepared", name=model.name, hub_name=name)
    return ""
