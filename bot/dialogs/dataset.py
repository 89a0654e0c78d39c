"""What the check of a data set found, as a card; ``/dataset`` and ``/datasets``."""

from collections.abc import Sequence

from sqlalchemy import func, select

from bot.commands import Request
from bot.context import Context
from bot.dialogs.edits import find_version
from bot.dialogs.situation import DataInPlan, Wrong, base_models, find_data
from bot.dialogs.wording import problem_sentence, quoted, sentence
from bot.facts import Counted, Uncountable, find_counted, kept_literally
from bot.ingest import Ingested
from bot.replies import Choice, DatasetCard, Fact, Item, Listing, Log, Text, Tone
from bot.texts import Texts
from storage.models import Dataset, DatasetVersion, Model
from training.datasets import DatasetReport

MOST_PROBLEMS = 5
"""On the card; all of them stand in the list that *All problems* opens."""
SHORTEST_SHARE = 0.05
"""A language with a smaller share of the rows is not named."""
LONGEST_PROMPT = 160


async def show(context: Context, request: Request) -> None:
    """``/dataset [NAME] [problems]``: the card, or the list of all problems."""
    name, _, rest = request.arguments.partition(" ")
    files = await accepted_files(context, request.files)
    if request.files and not files:
        return
    try:
        version_id = files[0].version_id if files else await _named_version(context, name)
    except Wrong as wrong:
        await context.refuse(Text(markdown=sentence(context.texts, wrong.message_id, wrong.values), tone="warning"))
        return
    data = await find_data(context.session, version_id) if version_id else None
    if data is None:
        await list_(context, request)
    elif rest.strip().lower() in {"problems", "问题"}:
        await context.reply(problem_list(context.texts, data))
    else:
        use = Choice(say=f"/finetune dataset={data.name}", label=context.texts("dataset.finetune"), style="primary")
        await context.reply(await dataset_card(context, data, choices=(use,)))


async def _named_version(context: Context, name: str) -> str | None:
    if name:
        return await find_version(context, name)
    query = select(DatasetVersion.id).order_by(DatasetVersion.created_at.desc()).limit(1)
    return await context.session.scalar(query)


async def accepted_files(context: Context, files: Sequence[Ingested]) -> list[Ingested]:
    """The files that were taken in; why the others were not is said."""
    for file in files:
        if file.error:
            reason = sentence(context.texts, file.error, dict(file.error_values))
            markdown = context.texts("file.refused", name=quoted(file.file_name), reason=reason)
            lines = [f"- {problem_sentence(context.texts, problem)}" for problem in file.problems]
            await context.refuse(Text(markdown="\n".join([markdown, *lines]), tone="bad"))
    return [file for file in files if file.version_id]


async def list_(context: Context, _: Request) -> None:
    """``/datasets``: every data set, the newest first."""
    text = context.texts
    newest = (
        select(DatasetVersion.dataset_id, func.max(DatasetVersion.created_at).label("at"))
        .group_by(DatasetVersion.dataset_id)
        .subquery()
    )
    query = (
        select(Dataset.name, DatasetVersion)
        .join(newest, newest.c.dataset_id == Dataset.id)
        .join(DatasetVersion, (DatasetVersion.dataset_id == Dataset.id) & (DatasetVersion.created_at == newest.c.at))
        .order_by(DatasetVersion.created_at.desc())
        .limit(50)
    )
    rows = (await context.session.execute(query)).all()
    await context.reply(
        Listing(
            title=text("datasets.title"),
            items=tuple(_item(text, name, version) for name, version in rows),
            empty=text("datasets.empty"),
        )
    )


def _item(text: Texts, name: str, version: DatasetVersion) -> Item:
    report = DatasetReport.from_json(version.report)
    bad = [text("datasets.bad_rows", n=report.bad_rows)] if report.bad_rows else []
    parts = [kind(text, report), text("datasets.rows", n=report.rows), *bad, text.size(version.size_bytes)]
    return Item(
        title=name,
        detail=text.joined(parts),
        status=text.time(version.created_at),
        choices=(
            Choice(say=f"/finetune dataset={name}", label=text("dataset.finetune")),
            Choice(say=f"/dataset {name}", label=text("dataset.look")),
        ),
    )


def kind(text: Texts, report: DatasetReport) -> str:
    """Format and use: "Alpaca, instruction tuning"."""
    return text("dataset.kind", format=text(f"format.{report.format}"), use=text(f"use.{report.use}"))


async def dataset_card(context: Context, data: DataInPlan, *, choices: Sequence[Choice] = ()) -> DatasetCard:
    """The card of a data set, with tokens and samples as the base model ``model`` sees them. Raises NeedsWork."""
    text = context.texts
    report = data.report
    models = await base_models(context.session)
    counted, trouble = await _count(context, data, models[0]) if models else (None, text("dataset.no_model"))
    all_problems = Choice(say=f"/dataset {data.name} problems", label=text("bad_rows.all_problems"))
    has_more = len(report.problems) > MOST_PROBLEMS
    return DatasetCard(
        title=data.version.file_name,
        subtitle=kind(text, report),
        facts=_facts(text, report, counted, models[0].name if models else ""),
        problems=_problems(text, report),
        more_label=text("dataset.more"),
        less_label=text("dataset.less"),
        notes=(*_notes(text, data), *((trouble,) if trouble else ())),
        samples_label=text("dataset.samples") if counted and counted.samples else "",
        samples=counted.samples if counted else (),
        choices=(*choices, *((all_problems,) if has_more or report.bad_rows else ())),
    )


async def _count(context: Context, data: DataInPlan, model: Model) -> tuple[Counted | None, str]:
    try:
        return await find_counted(context.session, data.version, model, {}), ""
    except Uncountable as trouble:
        return None, sentence(context.texts, trouble.message_id, trouble.values)


def _facts(text: Texts, report: DatasetReport, counted: Counted | None, model: str) -> tuple[Fact, ...]:
    facts = [Fact(value=text.number(report.rows), label=text("dataset.fact.rows", n=report.rows))]
    if counted:
        tokens = text.number(counted.tokens.tokens)
        if counted.tokens.is_sampled:
            tokens = text("dataset.about", value=tokens)
        facts.append(Fact(value=tokens, label=text("dataset.fact.tokens", model=model)))
    found = sum(report.problem_counts.values())
    if found:
        tone: Tone = "bad" if report.bad_rows else "warning"
        facts.append(Fact(value=text.number(found), label=text("dataset.fact.problems", n=found), tone=tone))
    return tuple(facts)


def _problems(text: Texts, report: DatasetReport) -> tuple[str, ...]:
    """The first problems, the bad ones before the warnings."""
    ordered = sorted(report.problems, key=lambda problem: problem.severity != "bad")
    sentences = [problem_sentence(text, problem) for problem in ordered[:MOST_PROBLEMS]]
    rest = sum(report.problem_counts.values()) - len(sentences)
    return (*sentences, *((text("dataset.more_problems", n=rest),) if rest > 0 else ()))


def _notes(text: Texts, data: DataInPlan) -> tuple[str, ...]:
    report = data.report
    notes = [sentence(text, f"dataset_note.{note.code}", note.params) for note in report.notes]
    languages = [
        text("dataset.share", language=text(f"dataset.language.{name}"), share=text.percent(round(share, 2)))
        for name, share in sorted(report.languages.items(), key=lambda item: -item[1])
        if share >= SHORTEST_SHARE
    ]
    if languages:
        notes.append(text("dataset.languages", languages=text.joined(languages)))
    if report.placeholders:
        shown = text.joined([f"`{kept_literally(name)}`" for name in report.placeholders])
        notes.append(text("dataset.placeholders", n=len(report.placeholders), names=shown))
    if report.system_prompt:
        prompt = " ".join(report.system_prompt.split())
        shown = prompt if len(prompt) <= LONGEST_PROMPT else prompt[:LONGEST_PROMPT] + "…"
        notes.append(text("dataset.system_prompt", prompt=shown))
        if report.other_system_prompts:
            notes.append(text("dataset.other_system_prompts", n=report.other_system_prompts))
    return tuple(notes)


def problem_list(text: Texts, data: DataInPlan) -> Log:
    """Every problem that the report holds, a line each, and how many there are beyond them."""
    report = data.report
    lines = [problem_sentence(text, problem) for problem in report.problems]
    rest = sum(report.problem_counts.values()) - len(lines)
    if rest > 0:
        lines.append(text("dataset.more_problems", n=rest))
    body = "\n".join(lines) if lines else text("dataset.no_problems")
    return Log(title=text("dataset.problems_title", name=data.version.file_name), text=body)
