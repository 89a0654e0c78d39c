"""Services: listed, ended, found by name."""

from collections.abc import Sequence

from bot.cards import deploy_line, service_card, service_status
from bot.commands import Request
from bot.context import Context, say
from bot.dialogs.finding import say_no_such
from bot.dialogs.rights import may_manage
from bot.replies import Choice, Item, Listing, Notice, Text
from bot.texts import texts
from storage.models import Host, Model, Service
from storage.services import all_services, find_service, services_of, threads_talking_to
from storage.states import ServiceState, Wish
from storage.threads import open_user

MOST_LISTED = 40
"""Services of one list; the others are named by typing."""


async def undeploy(context: Context, request: Request) -> None:
    """``/undeploy [SERVICE]``: unload it; the threads that talk to it stop doing so."""
    if not await may_manage(context):
        return
    service = await find_wanted(context, request.arguments.strip(), "undeploy")
    if service is None:
        return
    service.wanted = Wish.DOWN
    for thread in await threads_talking_to(context.session, service.id):
        thread.service_id = None
        if thread.id != context.thread.id:
            words = texts(thread.language)("undeploy.elsewhere", name=service.name)
            await say(context.session, thread, Notice(text=words))
    model = await context.session.get_one(Model, service.model_id)
    again = Choice(say=deploy_line(service, model), label=context.texts("service.choice.deploy"))
    await context.reply(Text(markdown=context.texts("undeploy.done", name=service.name), choices=(again,)))


async def list_(context: Context, _: Request) -> None:
    """``/services``: the person's own, then all others, with how they are."""
    text = context.texts
    user = await open_user(context.session, context.turn.user.name)
    up_first = sorted(await all_services(context.session), key=lambda service: service.wanted is Wish.DOWN)
    mine = [service for service in up_first if service.user_id in (user.id, None)]
    others = [service for service in up_first if service not in mine]
    if mine or not others:
        await context.reply(await _listing(context, "services.title", mine))
    if others:
        await context.reply(await _listing(context, "services.others", others))
    settings = context.world.settings
    # A terminal does not know which free port a server found (0).
    if (settings.public_url or settings.port) and any(service.wanted is Wish.UP for service in up_first):
        await context.reply(Notice(text=text("services.endpoint", url=settings.endpoint_url)))


async def _listing(context: Context, title: str, services: Sequence[Service]) -> Listing:
    text = context.texts
    items = tuple([await _item(context, service) for service in services[:MOST_LISTED]])
    more = len(services) - len(items)
    if more:
        items = (*items, Item(title=text("services.more", n=more)))
    choices = (
        Choice(say="/deploy", label=text("models.choice.deploy")),
        Choice(say="/models", label=text("starter.models")),
    )
    return Listing(title=text(title), items=items, empty=text("services.empty"), choices=() if items else choices)


async def _item(context: Context, service: Service) -> Item:
    text = context.texts
    host = await context.session.get_one(Host, service.host_id)
    model = await context.session.get_one(Model, service.model_id)
    base = await context.session.get_one(Model, host.base_model_id)
    card = service_card(text, service, host, model)
    is_up = service.wanted is Wish.UP
    where = text("services.detail", model=model.name, base=base.name)
    measured = context.world.meters.of(service.id)
    parts = [
        where,
        text("services.place", name=host.place) if host.place else "",
        *card.facts,
        text("services.requests", n=measured.requests) if measured.requests else "",
        text("services.speed", value=text.number(round(measured.tokens_per_second, 1)))
        if measured.tokens_per_second
        else "",
    ]
    choices = (Choice(say=f"/chat {service.name}", label=text("models.choice.chat")),) if is_up else ()
    return Item(
        title=service.name,
        detail="\n".join(filter(None, (" · ".join(filter(None, parts)), card.note))),
        status=service_status(text, service, host),
        tone=card.tone,
        choices=(*choices, *_pinning(context, service, host, model), *_ending(context, card.choices, service, model)),
    )


def _pinning(context: Context, service: Service, host: Host, model: Model) -> tuple[Choice, ...]:
    if service.wanted is Wish.DOWN or service.state is ServiceState.FAILED:
        return ()
    wish = "no" if host.is_pinned else "yes"
    label = context.texts("services.choice.unpin" if host.is_pinned else "services.choice.pin")
    return (Choice(say=f"{deploy_line(service, model)} pinned={wish}", label=label),)


def _ending(context: Context, choices: tuple[Choice, ...], service: Service, model: Model) -> tuple[Choice, ...]:
    """The card's buttons, and the one that ends the service, whatever its state; of an ended one, what begins it."""
    if service.wanted is Wish.DOWN:
        return (Choice(say=deploy_line(service, model), label=context.texts("service.choice.deploy")),)
    end = Choice(say=f"/undeploy {service.name}", label=context.texts("service.choice.undeploy"))
    return choices if end in choices else (*choices, end)


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
