"""Each kind of reply as blocks, of any number and without ids."""

import re
from collections.abc import Iterator

from bot.replies import (
    Answer,
    Comparison,
    ComparisonRow,
    Curve,
    DatasetCard,
    Form,
    Item,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    ReviewSection,
    RunCard,
    Segment,
    Text,
)
from bot.slack.fitting import escaped, marked
from bot.slack.layout import (
    FIELD_CHARACTERS,
    MARKS,
    SECTION_CHARACTERS,
    Block,
    bold,
    buttons,
    code,
    fields,
    lines,
    markdown,
    paragraph,
    picture,
    quiet,
    section,
    title,
)
from bot.slack.modal import OPEN_FORM, RATE
from bot.slack.pressing import LONGEST_LABEL, button, menu

BUTTONS_OF_A_QUESTION = 5
MOST_ITEMS = 60
MOST_PROBLEMS = 50
BAR_CELLS = 20
LEARNED = ("⟦", "⟧")
SIDE_BY_SIDE_CHARACTERS = 700
"""Answers that are longer than this stand below one another."""
BLOCK = re.compile(r"\s*(```|~~~|#{1,6} |[-*+] |[>|]|\d+[.)] )")
"""Markdown that begins with something that must begin a line."""
LINES_OF_CURVES = ("━", "┅", "┈")
"""As the picture draws them: the first curve whole, the second in dashes."""


def draw_reply(reply: Reply, *, message_id: str, chart: str | None) -> Iterator[Block]:
    """The blocks of a reply."""
    match reply:
        case Text():
            yield from markdown(_toned(reply))
            yield from buttons(reply.choices, message_id=message_id)
        case Notice():
            yield from quiet([reply.text])
        case Question():
            yield from _question(reply, message_id)
        case DatasetCard():
            yield from _dataset(reply, message_id)
        case Review():
            yield from _review(reply, message_id)
        case Form():
            yield from _form(reply, message_id)
        case RunCard():
            yield from _run(reply, message_id, chart)
        case Comparison():
            yield from _comparison(reply)
        case Listing():
            yield from _listing(reply, message_id)
        case Log():
            yield from section(f"*{bold(reply.title)}*")
            yield from code(reply.text)
        case Answer():
            yield from _answer(reply, message_id)


def _toned(reply: Text) -> str:
    """The Markdown behind the mark of its tone; above it where it begins with a block, which the mark would break."""
    mark = MARKS[reply.tone]
    return f"{mark.rstrip()}\n\n{reply.markdown}" if mark and BLOCK.match(reply.markdown) else mark + reply.markdown


def _question(question: Question, message_id: str) -> Iterator[Block]:
    yield from markdown(question.markdown)
    if question.answered is not None:
        yield from quiet([f"✓ {question.answered}"])
        return
    numbered = (
        f"*{number}.* {bold(choice.label)}" + (f" – {marked(choice.detail, 600)}" if choice.detail else "")
        for number, choice in enumerate(question.choices, 1)
    )
    yield from _marked_up(numbered)
    if len(question.choices) > BUTTONS_OF_A_QUESTION:
        yield {"type": "actions", "elements": [menu(question.choices, about=question.id, place="")]}
    else:
        yield from buttons(question.choices, message_id=message_id, about=question.id)
    yield from buttons(question.hints, message_id=message_id, about=question.id)


def _marked_up(texts: Iterator[str]) -> Iterator[Block]:
    """Lines that are ``mrkdwn`` already, in as many paragraphs as they need."""
    gathered = ""
    for text in texts:
        if len(gathered) + len(text) + 1 > SECTION_CHARACTERS:
            yield from section(gathered)
            gathered = ""
        gathered = f"{gathered}\n{text}" if gathered else text
    yield from section(gathered)


def _dataset(card: DatasetCard, message_id: str) -> Iterator[Block]:
    yield from title(f"📄 {card.title}")
    yield from quiet([card.subtitle])
    yield from fields([(MARKS[fact.tone] + bold(fact.value), bold(fact.label)) for fact in card.facts])
    yield from lines(card.problems[:MOST_PROBLEMS], mark="⚠️ ")
    if len(card.problems) > MOST_PROBLEMS:
        yield from quiet([f"… +{len(card.problems) - MOST_PROBLEMS}"])
    yield from quiet(card.notes)
    if card.samples:
        yield from quiet([card.samples_label])
    for sample in card.samples:
        yield from code("".join(map(_segment, sample)))
    yield from buttons(card.choices, message_id=message_id)


def _segment(segment: Segment) -> str:
    return f"{LEARNED[0]}{segment.text}{LEARNED[1]}" if segment.is_learned else segment.text


def _review(review: Review, message_id: str) -> Iterator[Block]:
    yield from title(review.title)
    yield from paragraph(review.subtitle)
    for part in review.sections:
        yield from _folded(part) if part.is_folded else _open(part)
    for caution in review.warnings:
        drawn = list(section(MARKS[caution.tone] + marked(caution.text, SECTION_CHARACTERS - 4)))
        if drawn and caution.remedy:
            drawn[0]["accessory"] = button(caution.remedy, message_id=message_id, about=review.id, place="")
        yield from drawn
    yield from buttons(review.choices, message_id=message_id, about=review.id)


def _open(part: ReviewSection) -> Iterator[Block]:
    yield from section(f"*{bold(part.title)}*" if part.title.strip() else "")
    yield from fields([(bold(row.label), f"{bold(row.value)}  _{bold(row.origin)}_") for row in part.rows])


def _folded(part: ReviewSection) -> Iterator[Block]:
    values = " · ".join(f"{row.label}: {row.value}" for row in part.rows)
    yield from quiet([f"{part.title} – {values}"])


def _form(form: Form, message_id: str) -> Iterator[Block]:
    if form.is_submitted:
        yield from quiet([f"✓ {form.title}"])
        return
    yield from section(f"*{bold(form.title)}*")
    yield from markdown(form.intro)
    for part in form.sections:
        # What can be typed in the thread too is seen there; the button opens the same as a modal.
        values = " · ".join(f"{field.label}: {field.value or '–'}" for field in part.fields)
        yield from quiet([f"**{part.title.strip()}** – {values}" if part.title.strip() else values])
    wrong = [field for part in form.sections for field in part.fields if field.error]
    yield from lines((f"{field.label}: {field.error}" for field in wrong), mark="⚠️ ")
    opening = {
        "type": "button",
        "action_id": OPEN_FORM,
        "style": "primary",
        "text": {"type": "plain_text", "text": form.title[:LONGEST_LABEL].strip() or "…", "emoji": False},
        "value": message_id,
    }
    rest = list(buttons(form.choices, message_id=message_id, about=form.id))
    yield {"type": "actions", "elements": [opening]}
    yield from rest


def _run(card: RunCard, message_id: str, chart: str | None) -> Iterator[Block]:
    yield from section(f"*{bold(card.title)}*  {MARKS[card.tone]}{escaped(card.status, 1000)}")
    is_whole = card.tone == "good" and not card.is_live
    if card.fraction is not None and not is_whole:
        done = max(0.0, min(1.0, card.fraction))
        yield from section(f"`{bar(done)}` {done:.0%}")
    yield from quiet([" · ".join(card.facts)])
    if chart is not None:
        yield picture(chart, ", ".join(curve.label for curve in card.curves))
        yield from quiet(["   ".join(_legend(card.curves))])
    yield from paragraph(card.note)
    if card.log_lines:
        yield from code("\n".join(card.log_lines))
    yield from buttons(card.choices, message_id=message_id)


def bar(fraction: float) -> str:
    """Work done, as signs; ``fraction`` from 0 to 1."""
    done = round(fraction * BAR_CELLS)
    return "█" * done + "░" * (BAR_CELLS - done)


def _legend(curves: tuple[Curve, ...]) -> Iterator[str]:
    for place, curve in enumerate(curves):
        if curve.points:
            mark = LINES_OF_CURVES[min(place, len(LINES_OF_CURVES) - 1)]
            yield f"{mark} {curve.label} {curve.points[0][1]:.3g} → {curve.points[-1][1]:.3g}"


def _comparison(reply: Comparison) -> Iterator[Block]:
    yield from markdown(reply.intro)
    for row in reply.rows:
        yield {"type": "divider"}
        yield from section(f"*{bold(row.question, 2900)}*")
        if max(len(row.base), len(row.tuned)) <= SIDE_BY_SIDE_CHARACTERS:
            yield from _side_by_side(reply, row)
        else:
            yield from quiet([f"○ {reply.base_label}"])
            yield from markdown(row.base or "…")
            yield from quiet([f"● {reply.tuned_label}"])
            yield from markdown(row.tuned or "…")
    yield from quiet([reply.note])


def _side_by_side(reply: Comparison, row: ComparisonRow) -> Iterator[Block]:
    room = FIELD_CHARACTERS - 520
    base, tuned = marked(row.base, room) or "…", marked(row.tuned, room) or "…"
    yield from fields([(f"○ {bold(reply.base_label)}", base), (f"● {bold(reply.tuned_label)}", tuned)])


def _listing(reply: Listing, message_id: str) -> Iterator[Block]:
    yield from section(f"*{bold(reply.title)}*")
    if not reply.items:
        yield from paragraph(reply.empty)
    yield from items(reply.items[:MOST_ITEMS], message_id=message_id)
    if len(reply.items) > MOST_ITEMS:
        yield from quiet([f"… +{len(reply.items) - MOST_ITEMS}"])
    yield from buttons(reply.choices, message_id=message_id)


def items(given: tuple[Item, ...], *, message_id: str) -> Iterator[Block]:
    """Entries of a list; a single button stands beside its entry, several below it."""
    for item in given:
        drawn = list(section(_item(item)))
        if len(item.choices) == 1:
            drawn[0]["accessory"] = button(item.choices[0], message_id=message_id, about=None, place="")
            yield from drawn
        else:
            yield from drawn
            yield from buttons(item.choices, message_id=message_id)


def _item(item: Item) -> str:
    status = f"  {MARKS[item.tone]}{escaped(item.status, 400)}" if item.status else ""
    detail = f"\n{marked(item.detail, 2000)}" if item.detail else ""
    return f"*{bold(item.title)}*{status}{detail}"


def _answer(answer: Answer, message_id: str) -> Iterator[Block]:
    yield from quiet([f"{'●' if answer.speaker == 'tuned' else '○'} {answer.author}"])
    yield from markdown(answer.markdown)
    yield from quiet([answer.note])
    yield from buttons(answer.choices, message_id=message_id)
    if answer.state == "complete" and answer.speaker == "tuned":
        yield {
            "type": "context_actions",
            "block_id": f"{RATE}:{message_id}",
            "elements": [
                {
                    "type": "feedback_buttons",
                    "action_id": RATE,
                    "positive_button": {"text": {"type": "plain_text", "text": "👍"}, "value": "good"},
                    "negative_button": {"text": {"type": "plain_text", "text": "👎"}, "value": "bad"},
                }
            ],
        }
