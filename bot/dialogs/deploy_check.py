"""What a deployment comes to: its values, what is wrong with them, the service that it is, and where it lands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.context import Context
from bot.dialogs.deployment import SETTING_OF, Deployment, Grounds, Value, WrongValueError, shown
from bot.dialogs.wording import quoted
from bot.hosting import host_model_id, more_loras
from bot.landing import Landing, find_landing
from bot.names import suggested_name
from bot.texts import Texts
from storage.models import Host, Model, Service, User
from storage.names import free_name
from storage.services import find_service, service_of, services_of_model
from storage.states import Wish
from storage.threads import open_user


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A deployment, held against the rows."""

    grounds: Grounds
    user: User
    service: Service | None
    """The one that is changed or goes on; None: a new one."""
    name: str
    """The service's."""
    values: Mapping[str, Value]
    """What was typed and can be, by field; None: the default."""
    errors: Mapping[str, str]
    """What is wrong with the others, as sentences."""
    landing: Landing

    @property
    def model(self) -> Model:
        """What is deployed."""
        return self.grounds.model

    @property
    def is_pinned(self) -> bool | None:
        """What is wished; None: as it is."""
        if "pinned" not in self.values:
            return None
        return self.values["pinned"] is True

    def present(self, name: str) -> Value:
        """What a field is while nothing is typed into it: as it is on the host, else its default."""
        if name == "service":
            return self.name
        host = self.landing.host
        if name == "pinned" and host is not None:
            return host.is_pinned
        own: Value = host.settings.get(SETTING_OF[name]) if host is not None and name in SETTING_OF else None
        return self.grounds.default(name) if own is None else own


async def check(context: Context, deployment: Deployment) -> Checked:
    """Read everything typed; what is wrong is kept with its sentence, by field."""
    session, text = context.session, context.texts
    model = await session.get_one(Model, deployment.model_id)
    user = await open_user(session, context.turn.user.name)
    errors: dict[str, str] = {}
    service, name = await _service(context, deployment, model, user, errors)
    base = await session.get_one(Model, host_model_id(model))
    grounds = Grounds(world=context.world, model=model, base=base, place=await _present_place(context, service))
    values: dict[str, Value] = {}
    # Which fields there are, and how far they may go, depends on the place.
    for field in sorted(deployment.typed, key=lambda field: field != "place"):
        try:
            values[field] = grounds.parse(field, deployment.typed[field])
        except WrongValueError as wrong:
            errors.setdefault(field, wrong_sentence(text, wrong))
        else:
            if field == "place":
                grounds = replace(grounds, place=str(values[field] or context.world.server_place(None)))
    changes = {
        SETTING_OF[field]: None if value == grounds.default(field) else value
        for field, value in values.items()
        if field in SETTING_OF
    }
    landing = await find_landing(session, context.world, model, place=grounds.place, service=service, changes=changes)
    if landing.is_short and "max_loras" in values:
        given = grounds.default("max_loras") if values["max_loras"] is None else values["max_loras"]
        needed = {"needed": landing.adapters, "nearest": more_loras(landing.loras, landing.adapters)}
        errors["max_loras"] = text("deploy.wrong.loras", base=base.name, given=shown(given), **needed)
    return Checked(
        grounds=grounds, user=user, service=service, name=name, values=values, errors=errors, landing=landing
    )


async def _service(
    context: Context, deployment: Deployment, model: Model, user: User, errors: dict[str, str]
) -> tuple[Service | None, str]:
    """The service of the given name, where it is the person's own; without a name, the model's own, else a new one."""
    session, typed = context.session, deployment.typed.get("service")
    if typed is None:
        own = [one for one in await services_of_model(session, model.id) if one.user_id in (user.id, None)]
        service = next(iter(own), None) or await service_of(session, model.id)
        return service, service.name if service else await free_name(session, Service.name, model.name)
    wanted = typed.strip()
    service = await find_service(session, wanted)
    if service is None:
        return None, wanted
    if service.user_id in (user.id, None):
        return service, wanted
    if service.model_id == model.id and service.wanted is Wish.UP:
        # Somebody else's, and the same model: there is nothing to take away from anybody.
        return service, wanted
    free = await free_name(session, Service.name, wanted)
    errors["service"] = context.texts("deploy.wrong.taken", name=wanted, nearest=free)
    return None, wanted


async def _present_place(context: Context, service: Service | None) -> str:
    if service is not None and service.wanted is Wish.UP:
        return (await context.session.get_one(Host, service.host_id)).place
    return context.world.server_place(None)


def _told(text: Texts, value: str | int | tuple[int, ...]) -> str | int:
    if isinstance(value, tuple):
        return text.either([str(one) for one in value])
    return quoted(value) if isinstance(value, str) else value


def wrong_sentence(text: Texts, wrong: WrongValueError) -> str:
    """What is wrong with a field, and what would do."""
    values = {name: _told(text, value) for name, value in wrong.values.items()}
    if wrong.code == "name":
        nearest = suggested_name(str(wrong.values["text"]))
        return text("deploy.wrong.name_nearest" if nearest else "deploy.wrong.name", **values, nearest=nearest)
    if wrong.code.startswith("argument."):
        return text(wrong.code, **values)
    if "field" in values:
        values |= {"field": text(f"deploy.field.{values['field']}"), "name": values["field"]}
    return text(f"deploy.wrong.{wrong.code}", **values)
