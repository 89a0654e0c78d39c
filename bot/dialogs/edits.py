"""Changes to a plan by name: "epochs=4", a remedy's button, a word of the one-line form. Each is checked by itself."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rapidfuzz import fuzz, process
from sqlalchemy import select

from bot.context import Context
from bot.dialogs.situation import Situation, Wrong, load, taken_names
from bot.draft import Draft
from bot.lexicon import fold
from bot.names import is_experiment_name, suggested_name
from bot.phrases import Edit
from bot.vocabulary import PRESET_WORDS
from storage.models import Dataset, DatasetVersion
from training.datasets import InvalidName, parse_name, suggest_name
from training.spec import PARAMETERS, InvalidValue, parse_value

LONGEST_FILL = 500
LONGEST_MENTION = 80
"""Of an answer that names a place among other words: a longer text says more than that."""

YES = frozenset(("yes", "y", "true", "on", "1", "是", "要", "好", "开"))
NO = frozenset(("no", "n", "false", "off", "0", "否", "不", "不要", "关"))
LEAVE_OUT = frozenset(("leave out", "leave_out", "leaveout", "drop", "remove", "skip", "去掉", "丢弃", "删除")) | YES


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A plan after some edits: what was taken over, and what could not be."""

    situation: Situation
    changed: tuple[str, ...]
    """Names, in the order given."""
    wrong: tuple[Wrong | InvalidValue, ...]
    wants_start: bool = False


async def apply_edits(context: Context, situation: Situation, edits: Iterable[Edit]) -> Edited:
    """Take over every edit that can be; the data set first, since others depend on it."""
    changed: list[str] = []
    wrong: list[Wrong | InvalidValue] = []
    wants_start = False
    for edit in sorted(edits, key=lambda edit: edit.name != "dataset"):
        if edit.name == "start":
            wants_start = wants_start or fold(edit.text) not in NO
            continue
        try:
            situation = await apply_edit(context, situation, edit)
            changed.append(edit.name)
        except (Wrong, InvalidValue) as problem:
            wrong.append(problem)
    return Edited(situation=situation, changed=tuple(changed), wrong=tuple(wrong), wants_start=wants_start)


async def apply_edit(context: Context, situation: Situation, edit: Edit) -> Situation:
    """The situation after one edit. Raises Wrong, InvalidValue."""
    draft = situation.draft
    if edit.name in PARAMETERS:
        values = draft.values | {edit.name: parse_value(edit.name, edit.text)}
        return situation.with_draft(draft.changed(values=values))
    if edit.name.startswith("fill."):
        return situation.with_draft(filled(situation, edit.name.removeprefix("fill."), edit.text))
    if edit.name == "dataset":
        version_id = await find_version(context, edit.text)
        return await load(context, draft.changed(version_id=version_id, leaves_out_bad_rows=False))
    if edit.name == "dataset_name":
        return await _renamed(context, situation, edit.text.strip())
    if edit.name == "experiment":
        await _check_experiment(context, edit.text.strip())
        return situation.with_draft(draft.changed(experiment=edit.text.strip()))
    return situation.with_draft(SIMPLE[edit.name](situation, edit.text))


def filled(situation: Situation, name: str, text: str) -> Draft:
    """The draft with a placeholder's fill. Raises Wrong for a placeholder that the data does not have."""
    names = situation.data.report.placeholders if situation.data else ()
    by_fold = {fold(known): known for known in names}
    known = name if name in names else by_fold.get(fold(name))
    if known is None:
        if not names:
            raise Wrong("fill.none", name=name)
        nearest = process.extractOne(fold(name), list(by_fold), scorer=fuzz.ratio, score_cutoff=60)
        if nearest:
            raise Wrong("fill.unknown.nearest", name=name, nearest=by_fold[nearest[0]])
        raise Wrong("fill.unknown", name=name, names=", ".join(names))
    value = text.strip()
    if not value:
        raise Wrong("fill.empty", name=known)
    if len(value) > LONGEST_FILL:
        raise Wrong("fill.too_long", name=known, limit=LONGEST_FILL)
    return situation.draft.changed(fills=situation.draft.fills | {known: value})


def with_base_model(situation: Situation, text: str) -> Draft:
    """The draft with a base model, named in full, by its beginning, or nearly. Raises Wrong."""
    wanted = fold(text.strip())
    names = {fold(model.name): model.name for model in situation.models}
    if not names:
        raise Wrong("base_model.none")
    found = names.get(wanted)
    if found is None:
        starting = [name for folded, name in names.items() if len(wanted) > 2 and folded.startswith(wanted)]
        found = starting[0] if len(starting) == 1 else None
    if found is None:
        nearest = process.extractOne(wanted, list(names), scorer=fuzz.ratio, score_cutoff=60)
        if nearest and nearest[1] >= 90:
            found = names[nearest[0]]
        elif nearest:
            raise Wrong("base_model.unknown.nearest", name=text.strip(), nearest=names[nearest[0]])
    if found is None:
        raise Wrong("base_model.unknown", name=text.strip())
    return situation.draft.changed(base_model=found)


def with_place(situation: Situation, text: str) -> Draft:
    """The draft with a place, by its name or its namespace, also among a few other words. Raises Wrong."""
    wanted = fold(text.strip())
    names = {fold(place.namespace): place.name for place in situation.world.places.values() if place.namespace}
    names |= {name: name for name in situation.world.places}
    if not names:
        raise Wrong("place.none")
    found = names.get(wanted) or _named_among(names, wanted)
    if found is None:
        raise Wrong("place.unknown", name=text.strip(), names=", ".join(situation.world.places))
    return situation.draft.changed(place=found)


def _named_among(names: Mapping[str, str], words: str) -> str | None:
    """The one of ``names`` that a few words mention ("the one in beijing"); None where they say more, or two."""
    if len(words) > LONGEST_MENTION or re.search(r"[=,;:，；、。]", words):
        return None
    mentioned = {name for name in names if re.search(rf"(?<![a-z0-9-]){re.escape(name)}(?![a-z0-9-])", words)}
    found = {names[name] for name in mentioned}
    return found.pop() if len(found) == 1 else None


def with_preset(situation: Situation, text: str) -> Draft:
    """The draft with a preset, in words of either language. Raises Wrong."""
    words = {fold(word): preset for preset, all_words in PRESET_WORDS.items() for word in all_words}
    found = process.extractOne(fold(text.strip()), list(words), scorer=fuzz.ratio, score_cutoff=80)
    if found is None:
        raise Wrong("preset.unknown", name=text.strip())
    return situation.draft.changed(preset=words[found[0]].value)


def with_deploys(situation: Situation, text: str) -> Draft:
    """The draft with the wish to deploy. Raises Wrong."""
    wanted = fold(text.strip())
    if wanted not in YES | NO:
        raise Wrong("deploys.unknown", name=text.strip())
    return situation.draft.changed(deploys=wanted in YES)


def with_bad_rows(situation: Situation, text: str) -> Draft:
    """The draft with or without consent to leave bad rows out. Raises Wrong."""
    wanted = fold(text.strip())
    if wanted not in LEAVE_OUT | NO:
        raise Wrong("bad_rows.unknown", name=text.strip())
    return situation.draft.changed(leaves_out_bad_rows=wanted in LEAVE_OUT)


SIMPLE: Mapping[str, Callable[[Situation, str], Draft]] = {
    "base_model": with_base_model,
    "place": with_place,
    "preset": with_preset,
    "deploys": with_deploys,
    "bad_rows": with_bad_rows,
}


async def find_version(context: Context, text: str) -> str:
    """The newest version of the data set of that name. Raises Wrong with the nearest name."""
    wanted = text.strip().removeprefix("@")
    names = {fold(name): name for name in await context.session.scalars(select(Dataset.name))}
    found = names.get(fold(wanted)) or names.get(suggest_name(wanted))
    if found is None:
        nearest = process.extractOne(fold(wanted), list(names), scorer=fuzz.ratio, score_cutoff=60)
        if nearest:
            raise Wrong("dataset.unknown.nearest", name=wanted, nearest=names[nearest[0]])
        raise Wrong("dataset.unknown", name=wanted)
    version_id = await context.session.scalar(
        select(DatasetVersion.id)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(Dataset.name == found)
        .order_by(DatasetVersion.created_at.desc())
        .limit(1)
    )
    if version_id is None:
        raise Wrong("dataset.unknown", name=wanted)
    return version_id


async def _renamed(context: Context, situation: Situation, name: str) -> Situation:
    if situation.data is None:
        raise Wrong("dataset_name.no_dataset")
    try:
        name = parse_name(name)
    except InvalidName as error:
        raise Wrong(f"name_error.{error.code}", **error.params) from error
    holder = await context.session.scalar(select(Dataset).where(Dataset.name == name))
    if holder is None:
        dataset = await context.session.get_one(Dataset, situation.data.version.dataset_id)
        dataset.name = name
        await context.session.flush()
    elif holder.id != situation.data.version.dataset_id:
        raise Wrong("dataset_name.taken", name=name)
    return await load(context, situation.draft)


async def _check_experiment(context: Context, name: str) -> None:
    if not is_experiment_name(name):
        suggestion = suggested_name(name)
        if suggestion:
            raise Wrong("experiment.invalid.nearest", name=name, nearest=suggestion)
        raise Wrong("experiment.invalid", name=name)
    if name in await taken_names(context.session):
        raise Wrong("experiment.taken", name=name)


PLACE_NAMES = dict.fromkeys(("cluster", "namespace", "集群", "命名空间"), "place")
"""The form's own names for a place. They stand in names of places too ("cluster-1"), so ``=`` must follow."""


def placeholder_pairs(situation: Situation) -> Mapping[str, str]:
    """What ``name=Nova`` means besides the parameters: the fill of a placeholder, by its folded name."""
    names = situation.data.report.placeholders if situation.data else ()
    return PLACE_NAMES | {fold(name): f"fill.{name}" for name in names}
