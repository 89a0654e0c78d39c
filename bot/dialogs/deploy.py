"""Services: begun, ended, listed."""

from collections.abc import Sequence

from bot.cards import service_card, service_status
from bot.commands import Request
from bot.context import Context, say
from bot.dialogs.finding import say_no_such
from bot.dialogs.runs import can_keep
from bot.reconcile.live import say_if_changed
from bot.reconcile.outcome import inspect_outcome, serve, take_in
from bot.replies import Choice, Item, Listing, Notice, Text
from storage.catalogue import find_model, model_of_run, models_of, newest_model_of
from storage.models import Host, Model, Run, Service, Thread
from storage.runs import find_run, get_run
from storage.services import all_services, find_service, services_of, threads_talking_to
from storage.states import ModelKind, ModelState, ServiceState, Wish
from training.adapters import AdapterProblem
from training.checkpoints import CheckpointError


async def deploy(context: Context, request: Request) -> None:
    """``/deploy [MODEL]``: serve a tuned model, or what a stopped run has saved; this thread then talks to it."""
    name = request.arguments.strip()
    model = await (_find_model(context, name) if name else _thread_model(context))
    if model is None:
        return
    if model.state is not ModelState.READY:
        await context.refuse(Text(markdown=context.texts("deploy.not_here", name=model.name), tone="warning"))
        return
    service = await serve(context.session, model, thread_id=context.thread.id)
    context.thread.service_id, context.thread.speaker = service.id, "tuned"
    host = await context.session.get_one(Host, service.host_id)
    await context.reply(service_card(context.texts, service, host, model))
    if service.state is ServiceState.READY:
        await context.reply(Notice(text=context.texts("chat.talking", name=service.name)))


async def _find_model(context: Context, name: str) -> Model | None:
    model = await find_model(context.session, name)
    if model is not None:
        return model
    run = await find_run(context.session, name)
    model = await model_of_run(context.session, run.id) if run is not None else None
    if model is not None:
        return model
    if run is not None and await can_keep(context, run):
        _keep(context, run)
        return None
    tuned = await models_of(context.session, ModelKind.TUNED)
    await say_no_such(context, "model", name, [model.name for model in tuned], command="deploy")
    return None


async def _thread_model(context: Context) -> Model | None:
    """The model that this thread made; else the only one there is; else a choice."""
    model = await newest_model_of(context.session, context.thread.id)
    tuned = await models_of(context.session, ModelKind.TUNED)
    if model is not None or len(tuned) == 1:
        return model or tuned[0]
    text = context.texts
    items = tuple(
        Item(title=model.name, choices=(Choice(say=f"/deploy {model.name}", label=text("models.choice.deploy")),))
        for model in reversed(tuned)
    )
    begin = Choice(say="/finetune", label=text("starter.finetune"), style="primary")
    await context.reply(
        Listing(title=text("deploy.which"), items=items, empty=text("deploy.none"), choices=() if items else (begin,))
    )
    return None


def _keep(context: Context, run: Run) -> None:
    """Make a model of what a stopped run has saved, once the turn is committed: its files are looked at first."""
    world, speaking, text = context.world, context.speaking, context.texts
    run_id, thread_id = run.id, context.thread.id

    async def act() -> bool:
        try:
            facts = await inspect_outcome(world, run)
        except (AdapterProblem, CheckpointError) as error:
            sentence = text("deploy.unfit", name=run.name, detail=str(error))
            await speaking.tell(thread_id, Text(markdown=sentence, tone="bad"))
            return False
        async with world.store.transaction() as session:
            row, thread = await get_run(session, run_id), await session.get(Thread, thread_id)
            if row is None or thread is None:
                return False
            model = await take_in(session, row, facts)
            service = await serve(session, model, thread_id=thread_id)
            thread.service_id, thread.speaker = service.id, "tuned"
            host = await session.get_one(Host, service.host_id)
            shown = await say_if_changed(session, thread, service_card(text, service, host, model))
        await speaking.show(shown)
        world.wake()
        return True

    context.afterwards.append(act)


async def undeploy(context: Context, request: Request) -> None:
    """``/undeploy [SERVICE]``: unload it; the threads that talk to it stop doing so."""
    service = await find_wanted(context, request.arguments.strip(), "undeploy")
    if service is None:
        return
    service.wanted = Wish.DOWN
    for thread in await threads_talking_to(context.session, service.id):
        thread.service_id = None
        if thread.id != context.thread.id:
            await say(context.session, thread, Notice(text=context.texts("undeploy.elsewhere", name=service.name)))
    again = Choice(say=f"/deploy {service.name}", label=context.texts("service.choice.deploy"))
    await context.reply(Text(markdown=context.texts("undeploy.done", name=service.name), choices=(again,)))


async def services(context: Context, _: Request) -> None:
    """``/services``: all of them, with how they are."""
    text = context.texts
    items = tuple([await _item(context, service) for service in await all_services(context.session)])
    await context.reply(
        Listing(
            title=text("services.title"),
            items=items,
            empty=text("services.empty"),
            choices=() if items else (Choice(say="/models", label=text("starter.models")),),
        )
    )


async def _item(context: Context, service: Service) -> Item:
    text = context.texts
    host = await context.session.get_one(Host, service.host_id)
    model = await context.session.get_one(Model, service.model_id)
    base = await context.session.get_one(Model, host.base_model_id)
    card = service_card(text, service, host, model)
    chat = (Choice(say=f"/chat {service.name}", label=text("models.choice.chat")),)
    return Item(
        title=service.name,
        detail="\n".join(filter(None, (text("services.detail", model=model.name, base=base.name), card.note))),
        status=service_status(text, service, host),
        tone=card.tone,
        choices=(*(chat if service.wanted is Wish.UP else ()), *card.choices),
    )


async def find_wanted(context: Context, name: str, command: str) -> Service | None:
    """The service of that name; without one, the thread's, else the only one, else a choice. None: it has been said."""
    wanted = [service for service in await all_services(context.session) if service.wanted is Wish.UP]
    if name:
        service = await find_service(context.session, name)
        if service is None or service.wanted is Wish.DOWN:
            await say_no_such(context, "service", name, [service.name for service in wanted], command=command)
            return None
        return service
    mine = [service for service in await services_of(context.session, context.thread.id) if service.wanted is Wish.UP]
    talking = [service for service in wanted if service.id == context.thread.service_id]
    found = next(iter([*talking, *reversed(mine)]), None)
    if found is None and len(wanted) == 1:
        found = wanted[0]
    if found is None:
        await _ask_which(context, wanted, command)
    return found


async def _ask_which(context: Context, wanted: Sequence[Service], command: str) -> None:
    text = context.texts
    items = tuple(
        Item(title=service.name, choices=(Choice(say=f"/{command} {service.name}", label=service.name),))
        for service in wanted
    )
    more = (Choice(say="/models", label=text("starter.models")),)
    await context.reply(
        Listing(title=text("services.which"), items=items, empty=text("services.empty"), choices=() if items else more)
    )
