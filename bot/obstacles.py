"""What stands in the way of a deployment: a full host, others who would be disturbed; each with what can be done."""

from bot.hosting import MOST_LORAS
from bot.landing import Landing
from bot.replies import Choice, Text
from bot.texts import Texts
from storage.models import Model

MOST_NAMED = 8
"""Services that are named one by one."""


def full_reply(text: Texts, model: Model, base: Model, landing: Landing) -> Text:
    """The host can hold no adapter more: who could be ended."""
    names = [other.name for other in landing.others]
    words = text("deploy.full", model=model.name, base=base.name, count=MOST_LORAS, names=_named(text, names))
    choices = tuple(
        Choice(say=f"/undeploy {name}", label=text("deploy.choice.end", name=name)) for name in names[:MOST_NAMED]
    )
    return Text(markdown=words, choices=choices, tone="warning", key=f"deploying:{model.id}")


def restart_reply(text: Texts, model: Model, base: Model, landing: Landing) -> Text:
    """A server that answers others would start anew: said where nobody is there to be asked."""
    yes = Choice(say=f"/deploy {model.name} restart=yes", label=text("deploy.restart.yes"), style="primary")
    choices, paragraphs = [yes], [restart_words(text, base, landing), text("deploy.restart.when", command=yes.say)]
    if landing.can_keep:
        keep = Choice(say=f"/deploy {model.name} max_loras={landing.loras}", label=text("deploy.restart.keep"))
        choices.append(keep)
        paragraphs.append(text("deploy.restart.or_keep", command=keep.say))
    words = "\n\n".join(paragraphs)
    return Text(markdown=words, choices=tuple(choices), tone="warning", key=f"deploying:{model.id}")


def restart_words(text: Texts, base: Model, landing: Landing) -> str:
    """Why the server would start anew, and what that means for whom."""
    names = _named(text, [other.name for other in landing.others])
    means = "deploy.restart.rolling" if landing.instances > 1 else "deploy.restart.pause"
    return "\n\n".join((*_reasons(text, base, landing), text(means, names=names)))


def _reasons(text: Texts, base: Model, landing: Landing) -> list[str]:
    reasons = []
    if landing.raises_rank:
        served, needed = landing.raises_rank
        reasons.append(text("deploy.restart.rank", base=base.name, served=served, needed=needed))
    if landing.raises_loras:
        why = "deploy.restart.loras" if landing.is_cpu else "deploy.restart.loras_gpu"
        room = landing.settings["max_loras"]
        reasons.append(text(why, base=base.name, n=landing.loras, needed=landing.adapters, room=room))
    return reasons or [text("deploy.restart.settings", base=base.name)]


def _named(text: Texts, names: list[str]) -> str:
    shown = [f"**{name}**" for name in names[:MOST_NAMED]]
    more = len(names) - len(shown)
    return text.joined([*shown, *([text("deploy.more", n=more)] if more else [])])
