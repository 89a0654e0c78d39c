"""Help, language, a new start, and what is said when nothing else fits."""

from bot.commands import COMMANDS, Request, nearest_command
from bot.context import Context
from bot.replies import Choice, Item, Listing, Notice, Text
from bot.texts import LANGUAGES, nearest_language, texts
from storage.artifact_errors import ArtifactError


def starters(language: str) -> tuple[Choice, ...]:
    """What a new thread offers to begin with."""
    text = texts(language)
    return (
        Choice(say="/finetune", label=text("starter.finetune"), style="primary"),
        Choice(say="/finetune @example", label=text("starter.example")),
        Choice(say="/runs", label=text("starter.runs")),
        Choice(say="/models", label=text("starter.models")),
    )


async def help_(context: Context, request: Request) -> None:
    """``/help``, ``/help COMMAND``: the table of commands."""
    text = context.texts
    wanted = request.arguments.lstrip("/").lower()
    commands = [command for command in COMMANDS if not wanted or command.name == wanted]
    if not commands:
        await say_unknown(context, wanted)
        return
    items = tuple(
        Item(title=text(f"command.{command.name}.usage"), detail=text(f"command.{command.name}"))
        for command in commands
    )
    await context.reply(Listing(title=text("help.title"), items=items, choices=starters(context.thread.language)))


async def language(context: Context, request: Request) -> None:
    """``/language zh``: the language of this thread."""
    wanted = request.arguments.strip().lower()
    names = {name.lower(): code for code, name in LANGUAGES.items()} | {"chinese": "zh-CN", "英文": "en"}
    code = names.get(wanted) or (nearest_language(wanted) if wanted[:2] in {"en", "zh"} else None)
    if code is None:
        choices = tuple(Choice(say=f"/language {code}", label=name) for code, name in LANGUAGES.items())
        if wanted:
            await context.refuse(Text(markdown=context.texts("language.unknown", name=wanted), choices=choices))
        else:
            await context.reply(Text(markdown=context.texts("language.ask"), choices=choices))
        return
    context.thread.language = code
    await context.reply(Notice(text=context.texts("language.set")))


async def new(context: Context, _: Request) -> None:
    """``/new``: forget the open plan and leave the service; runs and services go on."""
    context.thread.draft = context.thread.deployment = None
    context.thread.service_id = None
    context.thread.system_prompt = None
    await context.reply(Text(markdown=context.texts("greeting"), choices=starters(context.thread.language)))


async def say_unknown(context: Context, name: str) -> None:
    """A command that does not exist, with the nearest one that does."""
    nearest = nearest_command(name)
    if nearest:
        reply = Text(
            markdown=context.texts("command.unknown.nearest", name=name, nearest=nearest),
            choices=(Choice(say=f"/{nearest}", label=f"/{nearest}"), Choice(say="/help", label="/help")),
            tone="warning",
        )
    else:
        reply = Text(
            markdown=context.texts("command.unknown", name=name),
            choices=(Choice(say="/help", label="/help"),),
            tone="warning",
        )
    await context.refuse(reply)


async def say_closed(context: Context) -> None:
    """A button of a question that is no longer open."""
    await context.reply(Notice(text=context.texts("question.closed")))


async def say_lost(context: Context) -> None:
    """Words that nothing waits for: what could be done here."""
    await context.reply(Text(markdown=context.texts("greeting"), choices=starters(context.thread.language)))


async def say_no_files(context: Context, *, error: ArtifactError) -> None:
    """The files that the turn needs cannot be had."""
    words = context.texts(f"artifact_error.{error.code}", detail=str(error))
    await context.refuse(Text(markdown=words, tone="bad"))


async def say_bug(context: Context) -> None:
    """Our own mistake, said plainly; the log has its trace."""
    await context.refuse(Text(markdown=context.texts("error.bug"), tone="bad"))
