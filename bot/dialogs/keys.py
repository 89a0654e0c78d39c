"""Keys to the OpenAI-compatible endpoint: listed, made, taken back."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bot.commands import Request
from bot.context import Context
from bot.dialogs.finding import say_no_such
from bot.dialogs.rights import may_manage
from bot.names import numbered
from bot.replies import Choice, Item, Listing, Text
from storage.keys import find_key, keys_of, make_key, revoke_key, services_open_to
from storage.models import ApiKey, Message, Service, User
from storage.threads import open_user

DEFAULT_REQUESTS_PER_MINUTE = 60
MOST_REQUESTS_PER_MINUTE = 6000
_NAME = re.compile(r"[\w.-]{1,63}")
_OPTIONS = {"services": "services", "服务": "services", "limit": "limit", "限制": "limit"}


@dataclass(kw_only=True)
class _Wanted:
    """A key as it was asked for."""

    name: str = ""
    services: list[str] = field(default_factory=list)
    """Names."""
    limit: int = DEFAULT_REQUESTS_PER_MINUTE


class _Unclear(Exception):
    """What was typed is no key: ``code`` is the id of the sentence, ``values`` fill it."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


async def keys(context: Context, request: Request) -> None:
    """``/key``: one's own; ``/key new NAME services=a,b limit=60``: one more; ``/key revoke NAME``: one less."""
    word, _, rest = request.arguments.strip().partition(" ")
    act = _ACTS.get(word.lower())
    if act is not None:
        await act(context, rest.strip())
    elif word:
        await context.refuse(Text(markdown=context.texts("key.how"), tone="warning"))
    else:
        await _list(context)


async def _list(context: Context) -> None:
    text = context.texts
    person = await _person(context)
    opened = await services_open_to(context.session, person.id)
    items = tuple(_item(context, key, opened) for key in await keys_of(context.session, person.id))
    new = Choice(say="/key new", label=text("key.choice.new"))
    await context.reply(Listing(title=text("key.title"), items=items, empty=text("key.empty"), choices=(new,)))


def _item(context: Context, key: ApiKey, opened: Sequence[Service]) -> Item:
    text = context.texts
    names = [service.name for service in opened if service.id in key.services]
    what = text("key.all_services")
    if key.services:
        what = text("key.some_services", names=text.joined(names)) if names else text("key.no_services")
    used = text("key.used", time=text.time(key.used_at)) if key.used_at else text("key.unused")
    return Item(
        title=key.name,
        status=f"…{key.ending}",
        detail="\n".join((what, text("key.limit", count=text.number(key.requests_per_minute)), used)),
        choices=(_revoking(context, key.name),),
    )


def _revoking(context: Context, name: str) -> Choice:
    return Choice(say=f"/key revoke {name}", label=context.texts("key.choice.revoke"), style="danger")


async def _new(context: Context, arguments: str) -> None:
    if not context.turn.is_private:
        await context.refuse(Text(markdown=context.texts("key.not_here"), tone="warning"))
        return
    if not await may_manage(context):
        return
    person = await _person(context)
    mine = {key.name for key in await keys_of(context.session, person.id)}
    try:
        wanted = _read(arguments)
        wanted.name = wanted.name or numbered("key", mine)
        if wanted.name in mine:
            raise _Unclear("key.taken", name=wanted.name)
    except _Unclear as unclear:
        sentence = context.texts(unclear.code, **unclear.values)
        await context.refuse(Text(markdown=f"{sentence} {context.texts('key.how')}", tone="warning"))
        return
    services = await _services(context, person, wanted.services)
    if services is not None:
        await _make(context, person, wanted, services)


async def _make(context: Context, person: User, wanted: _Wanted, services: list[str]) -> None:
    key, secret = await make_key(
        context.session,
        user_id=person.id,
        name=wanted.name,
        services=services,
        requests_per_minute=wanted.limit,
    )
    # What is kept, and drawn again when the thread is opened later, knows the key's ending alone.
    kept = context.texts("key.made", name=key.name, ending=key.ending)
    message = await context.reply(Text(markdown=kept, choices=(_revoking(context, key.name),)))
    _show_once(context, key, secret, message)


def _show_once(context: Context, key: ApiKey, secret: str, message: Message) -> None:
    """Show the secret over the message that will be kept; a key that nobody has seen is taken back."""
    text, speaking, store = context.texts, context.speaking, context.world.store
    thread, key_id = context.thread, key.id
    shown = Text(
        markdown=text("key.shown", name=key.name, secret=secret, address=context.world.settings.endpoint_url),
        choices=(_revoking(context, key.name),),
        tone="good",
    )

    async def act() -> bool:
        if await speaking.show_once(message, thread, shown):
            return True
        async with store.transaction() as session:
            await revoke_key(session, key_id)
        await speaking.tell(thread.id, Text(markdown=text("key.not_shown", name=key.name), tone="bad"))
        return False

    context.afterwards.append(act)


async def _services(context: Context, person: User, names: Sequence[str]) -> list[str] | None:
    """The ids of the named services. None: one of them cannot be had, and it has been said."""
    opened = {service.name: service.id for service in await services_open_to(context.session, person.id)}
    for name in names:
        if name not in opened:
            await say_no_such(context, "service", name, list(opened), command="key new services=")
            return None
    return [opened[name] for name in names]


def _read(arguments: str) -> _Wanted:
    """What was typed after ``new``. Raises _Unclear."""
    wanted = _Wanted()
    for word in re.sub(r"\s*([=,，、])\s*", r"\1", arguments).split():
        option, equals, value = word.partition("=")
        if not equals:
            if wanted.name or not _NAME.fullmatch(word):
                raise _Unclear("key.bad_name", name=word)
            wanted.name = word
        elif _OPTIONS.get(option.lower()) == "services":
            wanted.services = [name for name in re.split("[,，、]", value) if name]
        elif _OPTIONS.get(option.lower()) == "limit":
            wanted.limit = _limit(value)
        else:
            raise _Unclear("key.bad_option", name=option)
    return wanted


def _limit(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST_REQUESTS_PER_MINUTE:
        raise _Unclear("key.bad_limit", value=value, most=MOST_REQUESTS_PER_MINUTE)
    return int(value)


async def _revoke(context: Context, name: str) -> None:
    person = await _person(context)
    key = await find_key(context.session, user_id=person.id, name=name)
    if key is None:
        code = "key.none_such" if name else "key.how"
        list_ = Choice(say="/key", label="/key")
        await context.refuse(Text(markdown=context.texts(code, name=name), choices=(list_,), tone="warning"))
        return
    await revoke_key(context.session, key.id)
    await context.reply(Text(markdown=context.texts("key.revoked", name=key.name, ending=key.ending)))


async def _person(context: Context) -> User:
    """Whoever speaks; the thread may have been begun by somebody else."""
    return await open_user(context.session, context.turn.user.name)


_ACTS: dict[str, Callable[[Context, str], Awaitable[None]]] = {
    "new": _new,
    "新建": _new,
    "revoke": _revoke,
    "撤销": _revoke,
    "list": lambda context, _: _list(context),
}
