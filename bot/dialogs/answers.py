"""One answer to one question -> the changed draft."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from rapidfuzz import fuzz, process

from bot.context import Context
from bot.dialogs.dataset import problem_list
from bot.dialogs.edits import LEAVE_OUT, filled, find_version, with_base_model, with_place, with_preset
from bot.dialogs.examples import EXAMPLE, example_version
from bot.dialogs.form import FORM
from bot.dialogs.questions import ADD_MODEL, ALL_PROBLEMS, KEEP, KEEP_OLD, USE_NEW, build_question, foresee
from bot.dialogs.situation import Situation, Wrong, load
from bot.facts import kept_literally
from bot.lexicon import fold
from bot.replies import Choice, Question, Reply, Text
from training.presets import Preset


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What an answer did."""

    situation: Situation
    answered: str = ""
    """As it is shown in place of the buttons."""
    next_step: str | None = None
    """Where to go on, if not with the first open question."""
    says: tuple[Reply, ...] = field(default=())
    """Said before going on."""


async def take(context: Context, situation: Situation, step: str, text: str) -> Taken:
    """The answer ``text`` (typed, or what a button says) to ``step``. Raises Wrong, NeedsWork, Uncountable."""
    if step in {"review", FORM}:
        raise Wrong("answer.unknown", text=text)
    choice = match_choice(await build_question(context, situation, step, ""), text)
    said = choice.say if choice else text
    taken = await TAKERS[step.partition(".")[0]](context, situation, step, said)
    return taken if taken.answered or choice is None else _labelled(taken, choice)


def _labelled(taken: Taken, choice: Choice) -> Taken:
    return Taken(situation=taken.situation, answered=choice.label, next_step=taken.next_step, says=taken.says)


def match_choice(question: Question, text: str) -> Choice | None:
    """The choice that a text means: by number, by what its button says or shows, or nearly so."""
    wanted = fold(text).strip().rstrip(".。!)、")
    if (wanted.isdecimal() and not question.id.startswith("fill.")) or wanted == "1":
        place = int(wanted)
        if not 1 <= place <= len(question.choices):
            raise Wrong("answer.no_number", number=wanted[:12], n=len(question.choices))
        return question.choices[place - 1]
    words = {fold(name): choice for choice in question.choices for name in (choice.label, choice.say)}
    if wanted in words:
        return words[wanted]
    if len(wanted) < 4 or question.id.startswith("fill."):
        return None
    near = process.extractOne(wanted, list(words), scorer=fuzz.ratio, score_cutoff=85)
    return words[near[0]] if near else None


async def skip(context: Context, situation: Situation, step: str) -> Taken:
    """Take what is recommended, or keep what was answered before. Raises Wrong where neither is there."""
    if step in situation.steps() and situation.is_answered(step):
        return Taken(situation=situation, answered=context.texts("answered.kept"))
    if step == FORM:
        return Taken(situation=situation)
    if step == "offer":
        return await take(context, situation, step, KEEP_OLD)
    if step == "base_model" and situation.models:
        return await take(context, situation, step, situation.models[0].name)
    if step == "place" and situation.place:
        return await take(context, situation, step, situation.place)
    if step == "preset":
        return await take(context, situation, step, (await foresee(context, situation)).recommended.value)
    raise Wrong(f"skip.{step.partition('.')[0]}")


async def _dataset(context: Context, situation: Situation, _: str, said: str) -> Taken:
    if said == EXAMPLE:
        version_id = await example_version(context)
    else:
        version_id = await find_version(context, said)
    chosen = await load(context, situation.draft.changed(version_id=version_id, leaves_out_bad_rows=False))
    return Taken(situation=chosen, answered=chosen.data.name if chosen.data else "")


async def _offer(context: Context, situation: Situation, _: str, said: str) -> Taken:
    draft = situation.draft
    if said == KEEP_OLD:
        return Taken(situation=situation.with_draft(draft.changed(offered_version_id=None)))
    if said != USE_NEW:
        raise Wrong("answer.unknown", text=said)
    changes = {"version_id": draft.offered_version_id, "offered_version_id": None, "leaves_out_bad_rows": False}
    return Taken(situation=await load(context, draft.changed(**changes)))


async def _bad_rows(context: Context, situation: Situation, _: str, said: str) -> Taken:
    if said == ALL_PROBLEMS and situation.data:
        return Taken(situation=situation, says=(problem_list(context.texts, situation.data),))
    words = fold(said)
    if words not in LEAVE_OUT and not any(word in words for word in ("leave", "drop", "remove", "去掉", "丢")):
        raise Wrong("answer.unknown", text=said)
    return Taken(
        situation=situation.with_draft(situation.draft.changed(leaves_out_bad_rows=True)),
        answered=context.texts("bad_rows.leave_out", n=situation.data.report.bad_rows if situation.data else 0),
    )


async def _fill(context: Context, situation: Situation, step: str, said: str) -> Taken:
    name = step.removeprefix("fill.")
    if said == KEEP:
        fills = situation.draft.fills | {name: kept_literally(name)}
        return Taken(situation=situation.with_draft(situation.draft.changed(fills=fills)))
    return Taken(situation=situation.with_draft(filled(situation, name, said)), answered=said.strip())


async def _base_model(context: Context, situation: Situation, _: str, said: str) -> Taken:
    if said == ADD_MODEL:
        return Taken(situation=situation, says=(Text(markdown=context.texts("base_model.how_to_add")),))
    draft = with_base_model(situation, said)
    return Taken(situation=situation.with_draft(draft), answered=draft.base_model or "")


async def _place(_: Context, situation: Situation, __: str, said: str) -> Taken:
    draft = with_place(situation, said)
    return Taken(situation=situation.with_draft(draft), answered=draft.place or "")


async def _preset(context: Context, situation: Situation, _: str, said: str) -> Taken:
    draft = with_preset(situation, said)
    return Taken(
        situation=situation.with_draft(draft),
        answered=context.texts(f"preset.{draft.preset}"),
        next_step=FORM if draft.preset == Preset.CUSTOM else None,
    )


Taker = Callable[[Context, Situation, str, str], Awaitable[Taken]]
TAKERS: Mapping[str, Taker] = {
    "dataset": _dataset,
    "offer": _offer,
    "bad_rows": _bad_rows,
    "fill": _fill,
    "base_model": _base_model,
    "place": _place,
    "preset": _preset,
}
