"""``/delete``: a run goes for good, with its model; what exactly is said first, and nothing goes without a yes."""

from collections.abc import Sequence
from functools import partial

from bot.cards import deletion_key, run_card, run_key
from bot.commands import Request
from bot.context import Context, NeedsWork, say
from bot.dialogs.asking import close_message
from bot.dialogs.edits import NO, YES
from bot.dialogs.finding import say_deleted
from bot.dialogs.general import say_closed
from bot.dialogs.rights import may_manage
from bot.dialogs.runs import find_meant
from bot.lexicon import fold
from bot.phrases import Control, read_control
from bot.reconcile.live import recorded_progress
from bot.reconcile.outcome import folders_of
from bot.replies import BODIES, Choice, Question, Text
from bot.texts import Texts, texts
from bot.world import World
from storage.artifact_errors import ArtifactError
from storage.catalogue import model_of_run
from storage.deletion import built_upon, runs_going_on_from, want_deletion
from storage.models import Dataset, DatasetVersion, Model, Run, Thread
from storage.runs import get_run, newest_attempt
from storage.services import services_of_model
from storage.states import Wish
from storage.threads import find_message, messages_keyed, newest_reply

ABOUT = "delete."
"""What the ids of these questions begin with; the run's id follows, for its name may be another run's one day."""

_SURE = YES | {"sure", "delete it", "确认", "确定", "好的"}

MOST_REMEDIES = 5
"""Buttons of a refusal."""


async def delete(context: Context, request: Request) -> None:
    """``/delete [RUN] [yes]``: asks with what would go; with yes it asks nothing."""
    if not await may_manage(context):
        return
    name, word = _split(request.arguments)
    run = await find_meant(context, name, "delete")
    if run is None:
        return
    if (context.turn.about or _about(run)) != _about(run):
        await say_closed(context)
    elif word in NO:
        await _keep(context, run)
    else:
        await _go_on(context, run.id, is_sure=word in _SURE)


async def find_asked(context: Context) -> Question | None:
    """The question about a deletion that the turn answers in words: it stands lowest, and the words say yes or no."""
    if context.turn.about or _read(context.texts, context.turn.text) is None:
        return None
    message = await newest_reply(context.session, context.thread.id)
    body = BODIES.validate_python(message.body) if message else None
    is_open = isinstance(body, Question) and body.id.startswith(ABOUT) and body.answered is None
    return body if is_open and isinstance(body, Question) else None


async def answer(context: Context, asked: Question) -> None:
    """A yes or a no, typed."""
    if not await may_manage(context):
        return
    run = await context.session.get(Run, asked.id.removeprefix(ABOUT))
    if run is None:
        await say_closed(context)
    elif _read(context.texts, context.turn.text):
        await _go_on(context, run.id, is_sure=True)
    else:
        await _keep(context, run)


async def _go_on(context: Context, run_id: str, *, is_sure: bool) -> None:
    """Ask or do it, unless something stands in the way; as the run is now, whoever else is at it."""
    run = await get_run(context.session, run_id)
    if run is None:
        await say_closed(context)
    elif run.deletion_wanted_at is not None:
        await say_deleted(context, run.name)
    elif (refusal := await _refusal(context, run)) is not None:
        await context.refuse(refusal)
    elif is_sure:
        await _do(context, run)
    else:
        await _ask(context, run)


async def _refusal(context: Context, run: Run) -> Text | None:
    """Why the run cannot go now, with what would let it."""
    text, session = context.texts, context.session
    if not run.state.is_final:
        code = "delete.stopping" if run.stop_wanted else "delete.under_way"
        stop = () if run.stop_wanted else (Choice(say=f"/stop {run.name}", label=text("run.choice.stop")),)
        return Text(markdown=text(code, name=run.name), choices=stop, tone="warning")
    if others := await runs_going_on_from(session, run.id):
        names = [other.name for other in others]
        return _obstacle(text, "delete.resumed", "stop", run.name, names)
    model = await model_of_run(session, run.id)
    if model is None:
        return None
    if served := [one.name for one in await services_of_model(session, model.id) if one.wanted is Wish.UP]:
        return _obstacle(text, "delete.served", "undeploy", run.name, served)
    if made := await built_upon(session, model.id):
        return _obstacle(text, "delete.built_upon", "delete", run.name, made)
    return None


def _obstacle(text: Texts, code: str, command: str, name: str, others: Sequence[str]) -> Text:
    """What goes first: one button each."""
    shown = others[:MOST_REMEDIES]
    choices = tuple(Choice(say=f"/{command} {other}", label=f"/{command} {other}") for other in shown)
    named = text.joined([f"**{other}**" for other in others])
    words = text(code, name=name, names=named, command=choices[0].say)
    return Text(markdown=words, choices=choices, tone="warning")


async def _ask(context: Context, run: Run) -> None:
    size_bytes = _measured(run)
    text = context.texts
    await _close(context, run, text("answered.again"))
    goes = [text("delete.goes.run")]
    if context.world.trains_elsewhere:
        goes.append(text("delete.goes.place", place=run.place or next(iter(context.world.places))))
    model = await model_of_run(context.session, run.id)
    if model is not None:
        goes.append(text("delete.goes.model", name=model.name))
        services = [one.name for one in await services_of_model(context.session, model.id)]
        goes += [text("delete.goes.service", name=name) for name in services]
    if size_bytes:
        goes.append(text("delete.goes.size", size=text.size(size_bytes)))
    lines = "\n".join(f"- {line}" for line in goes)
    dataset = await _dataset_name(context, run)
    yes = Choice(say=f"/delete {run.name} yes", label=text("delete.choice.yes"), style="danger")
    no = Choice(say=f"/delete {run.name} no", label=text("delete.choice.no"))
    await context.reply(
        Question(
            id=_about(run),
            markdown=f"{text('delete.ask', name=run.name)}\n{lines}\n\n{text('delete.stays', dataset=dataset)}",
            choices=(yes, no),
            # Of its own each time: asked again, it stands at the end of the thread and not where it stood before.
            key=f"{_question_keys(run)}{context.thread.messages_count}",
        )
    )


async def _do(context: Context, run: Run) -> None:
    """Write the wish; the loops take away what the run left."""
    text = context.texts
    dataset = await _dataset_name(context, run)
    await want_deletion(context.session, run)
    await _close(context, run, text("delete.answered"))
    words = text("delete.wanted", name=run.name, dataset=dataset)
    await context.reply(Text(markdown=words, key=deletion_key(run.id)))
    await _show_gone(context, run)


async def _keep(context: Context, run: Run) -> None:
    await _close(context, run, context.texts("answered.kept"))
    await context.reply(Text(markdown=context.texts("delete.kept", name=run.name)))


async def _show_gone(context: Context, run: Run) -> None:
    """The run's card, wherever it is, offers nothing any more."""
    thread = await context.session.get(Thread, run.thread_id) if run.thread_id else None
    if thread is None or await find_message(context.session, thread.id, run_key(run.id)) is None:
        return
    base = await context.session.get_one(Model, run.base_model_id)
    attempt = await newest_attempt(context.session, run.id)
    card = run_card(
        texts(thread.language),
        run,
        progress=await recorded_progress(context.session, run),
        base_name=base.name,
        attempt=attempt.number if attempt else 1,
    )
    if thread.id == context.thread.id:
        await context.reply(card)
    else:
        await say(context.session, thread, card)


async def _close(context: Context, run: Run, answered: str) -> None:
    """Close the questions about the run that are open in the thread."""
    for message in await messages_keyed(context.session, context.thread.id, _question_keys(run)):
        if message.key:
            await close_message(context, message.key, answered)


async def _dataset_name(context: Context, run: Run) -> str:
    version = await context.session.get_one(DatasetVersion, run.dataset_version_id)
    return (await context.session.get_one(Dataset, version.dataset_id)).name


def _about(run: Run) -> str:
    return f"{ABOUT}{run.id}"


def _question_keys(run: Run) -> str:
    """What the keys of the questions about a run begin with."""
    return f"question:delete:{run.id}:"


def _split(arguments: str) -> tuple[str, str]:
    """The run's name, and a yes or a no behind it. A single word is a name."""
    words = arguments.split()
    last = fold(words[-1]) if len(words) > 1 else ""
    return (" ".join(words[:-1]), last) if last in _SURE | NO else (" ".join(words), "")


def _read(text: Texts, said: str) -> bool | None:
    """Whether words say yes or no, as this question's buttons and numbers do; None: neither."""
    words = fold(said).strip(" .。!！")
    if words in _SURE or words == fold(text("delete.choice.yes")):
        return True
    is_no = words in NO or words in ("2", fold(text("delete.choice.no"))) or read_control(said) is Control.CANCEL
    return False if is_no else None


_SIZES: dict[str, int] = {}
"""Run -> what its files take, for the turn that asked. A bucket must not be asked inside a transaction."""


def _measured(run: Run) -> int:
    """What the run's files take, in bytes; 0 where that cannot be had. Raises NeedsWork."""
    if run.id not in _SIZES:
        raise NeedsWork(partial(_measure, run.id))
    return _SIZES.pop(run.id)


async def _measure(run_id: str, world: World) -> None:
    try:
        _SIZES[run_id] = sum([await world.artifacts.size_bytes(folder) for folder in folders_of(run_id)])
    except ArtifactError:
        _SIZES[run_id] = 0
