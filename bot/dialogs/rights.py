"""Who may start, stop and deploy: what a face says of a person is held here."""

from bot.context import Context
from bot.replies import Text


async def may_manage(context: Context) -> bool:
    """Whether the person may do what costs a machine's time or ends others' work; if not, it says whom to ask."""
    rights = context.turn.user.rights
    if rights.may_manage:
        return True
    text = context.texts
    places, names = text.joined(list(rights.places)), text.joined(list(rights.whom_to_ask))
    code = "either" if places and names else "elsewhere" if places else "ask"
    sentence = text(f"rights.{code}", **({"places": places} if places else {}), **({"names": names} if names else {}))
    await context.refuse(Text(markdown=sentence, tone="warning"))
    return False
