"""Talking to a model: plain words, who answers, side by side, system prompt and sampling."""

import re
from collections.abc import Mapping

from bot.commands import Request
from bot.context import Context
from bot.dialogs.deploy_steps import put_aside
from bot.dialogs.services import find_wanted
from bot.hosting import is_adapter
from bot.replies import BODIES, Answer, Choice, Comparison, ComparisonRow, Notice, Said, Text
from bot.side_by_side import ask_both
from bot.talks import conversation_key, last_question
from bot.texts import Texts
from serving.sampling import DEFAULT_SAMPLING, SAMPLING, InvalidSampling, SamplingValue, parse_sampling
from storage.models import Model, Service, new_id
from storage.states import MessageState, ServiceState, Wish

_PAIR = re.compile(r"([A-Za-z_]+)\s*[=＝:：]\s*([^\s,，;；]+)")
_RESET = frozenset({"reset", "default", "重置", "默认"})
_WAITING = {ServiceState.LOADING: "loading", ServiceState.ASLEEP: "asleep", ServiceState.FAILED: "failed"}
_NONE = frozenset({"none", "off", "无"})


async def speak(context: Context, question: str | None = None) -> None:
    """Plain words go to the thread's service: the answer's message is there at once, its text streams afterwards.

    ``question``: what is asked where it is not all that was said, as after ``/base``.
    """
    service, said = await _service(context), context.said_by_person
    if service is None or said is None:
        return
    if question or context.turn.said_as:
        # A button ("Ask again") has a label; what the model is asked is what it stands for.
        said.body = BODIES.dump_python(Said(text=question or context.turn.text), mode="json")
    speaker = "base" if context.thread.speaker == "base" else "tuned"
    conversation = conversation_key(service.id, speaker)
    said.conversation = conversation
    base, author = await _authors(context, service)
    # Its button stops this answer, and not one that is spoken while it waits for its turn.
    message_id = new_id()
    answer = Answer(
        author=base if speaker == "base" else author,
        speaker="base" if speaker == "base" else "tuned",
        markdown="",
        state="streaming",
        choices=(Choice(say=f"/stop answer {message_id}", label=context.texts("chat.choice.stop")),),
        key=f"answer:{said.id}",
    )
    await context.reply(answer, conversation=conversation, state=MessageState.STREAMING, message_id=message_id)
    thread_id = context.thread.id
    context.is_talk = True
    context.afterwards.append(lambda: context.speaking.speak(thread_id, message_id))


async def choose(context: Context, request: Request) -> None:
    """``/chat [SERVICE]``: this thread talks to that service."""
    service = await find_wanted(context, request.arguments.strip(), "chat")
    if service is None:
        return
    context.thread.service_id, context.thread.speaker = service.id, "tuned"
    await _say_talking(context, service.name)
    if service.state is not ServiceState.READY:
        await context.reply(Notice(text=context.texts(f"chat.waiting.{_WAITING.get(service.state, 'starting')}")))


async def base(context: Context, request: Request) -> None:
    """``/base [QUESTION]``: the base model answers from now on."""
    service = await _service(context)
    if service is None:
        return
    model = await context.session.get_one(Model, service.model_id)
    if not is_adapter(model):
        await context.refuse(Text(markdown=context.texts("chat.no_base", name=service.name), tone="warning"))
        return
    context.thread.speaker = "base"
    name, _author = await _authors(context, service)
    await _say_talking(context, name)
    if request.arguments:
        await speak(context, request.arguments)


async def tuned(context: Context, request: Request) -> None:
    """``/tuned [QUESTION]``: the tuned model answers from now on."""
    service = await _service(context)
    if service is None:
        return
    context.thread.speaker = "tuned"
    await _say_talking(context, service.name)
    if request.arguments:
        await speak(context, request.arguments)


async def _say_talking(context: Context, name: str) -> None:
    """Who answers plain words from now on: a deployment that asks goes, a plan says that they still go to it."""
    await put_aside(context)
    await context.reply(Notice(text=context.texts("chat.talking", name=name)))
    if context.thread.draft is not None:
        await context.reply(Notice(text=context.texts("opening.still_open")))


async def compare(context: Context, request: Request) -> None:
    """``/compare [QUESTION]``: both answer, side by side; without a question, the last one."""
    service = await _service(context)
    if service is None:
        return
    text = context.texts
    model = await context.session.get_one(Model, service.model_id)
    question = request.arguments.strip() or await last_question(context.session, context.thread.id, service.id)
    if not is_adapter(model) or question is None:
        missing = "chat.no_base" if not is_adapter(model) else "compare.no_question"
        await context.refuse(Text(markdown=text(missing, name=service.name), tone="warning"))
        return
    base_label, tuned_label = await _authors(context, service)
    reply = Comparison(
        intro=text("compare.intro"),
        base_label=base_label,
        tuned_label=tuned_label,
        rows=(ComparisonRow(question=question, base="", tuned=""),),
        note=text("comparison.under_way"),
        key=f"compare:{context.turn.event_id}",
    )
    message = await context.reply(reply, state=MessageState.STREAMING)
    world, speaking, service_id, message_id = context.world, context.speaking, service.id, message.id
    context.afterwards.append(lambda: ask_both(world, speaking, service_id, message_id))


async def system(context: Context, request: Request) -> None:
    """``/system``: show it; ``/system TEXT``, ``/system none``, ``/system reset``: set, clear, the model's own."""
    words, text = request.arguments.strip(), context.texts
    if words.lower() in _RESET:
        context.thread.system_prompt = None
        await context.reply(Notice(text=text("system.reset")))
    elif words.lower() in _NONE:
        context.thread.system_prompt = ""
        await context.reply(Notice(text=text("system.none")))
    elif words:
        context.thread.system_prompt = words
        await context.reply(Notice(text=text("system.set")))
    else:
        await _show_system(context)


async def _show_system(context: Context) -> None:
    text, own = context.texts, context.thread.system_prompt
    service = await context.session.get(Service, context.thread.service_id) if context.thread.service_id else None
    model = await context.session.get(Model, service.model_id) if service else None
    prompt = own if own is not None else model.system_prompt if model else None
    origin = "system.yours" if own is not None else "system.models"
    markdown = text(origin, prompt=_quoted(prompt)) if prompt else text("system.empty")
    choices = (Choice(say="/system reset", label=text("system.choice.reset")),) if own is not None else ()
    await context.reply(Text(markdown=markdown, choices=choices))


def _quoted(prompt: str) -> str:
    return "\n".join(f"> {line}" for line in prompt.splitlines())


async def params(context: Context, request: Request) -> None:
    """``/params``: show them; ``/params temperature=0.2 max_tokens=300``: set some; ``/params reset``: the defaults."""
    words, text = request.arguments.strip(), context.texts
    if words.lower() in _RESET:
        context.thread.sampling = {}
    elif words:
        pairs = _PAIR.findall(words)
        if not pairs or _PAIR.sub("", words).strip(" ,，;；"):
            await context.refuse(Text(markdown=text("params.how"), tone="warning"))
            return
        try:
            values = {name.lower(): parse_sampling(name.lower(), value) for name, value in pairs}
        except InvalidSampling as error:
            sentence = text(f"sampling.{error.code}", **_numbers(text, error.params))
            await context.refuse(Text(markdown=sentence, tone="warning"))
            return
        context.thread.sampling = {**context.thread.sampling, **values}
    await context.reply(Text(markdown=_params_text(text, context.thread.sampling)))


def _params_text(text: Texts, sampling: Mapping[str, SamplingValue]) -> str:
    lines = []
    for name in SAMPLING:
        value = sampling.get(name, DEFAULT_SAMPLING.get(name))
        shown = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        lines.append(f"- `{name}` = {shown}: {text(f'sampling.{name}.why')}")
    return "\n".join([text("params.title"), "", *lines])


def _numbers(text: Texts, params: Mapping[str, str | float]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else text.number(value) for name, value in params.items()}


async def leave(context: Context, _: Request) -> None:
    """``/leave``: plain words go to no model any more; the service stays."""
    service = await _service(context)
    if service is None:
        return
    context.thread.service_id = None
    back = Choice(say=f"/chat {service.name}", label=context.texts("chat.choice.back", name=service.name))
    await context.reply(Text(markdown=context.texts("chat.left", name=service.name), choices=(back,)))


async def _service(context: Context) -> Service | None:
    """The thread's service; where it has none, that is said with what to do."""
    service = await context.session.get(Service, context.thread.service_id) if context.thread.service_id else None
    if service is not None and service.wanted is Wish.UP:
        return service
    context.thread.service_id = None
    choices = tuple(
        Choice(say=say, label=context.texts(label))
        for say, label in (("/services", "chat.choice.services"), ("/finetune", "starter.finetune"))
    )
    await context.refuse(Text(markdown=context.texts("chat.nobody"), choices=choices, tone="warning"))
    return None


async def _authors(context: Context, service: Service) -> tuple[str, str]:
    """How the base model and the tuned one are called in front of people."""
    model = await context.session.get_one(Model, service.model_id)
    base_model = await context.session.get(Model, model.base_model_id) if model.base_model_id else None
    return context.texts("chat.base_label", name=(base_model or model).name), service.name
