import io
from dataclasses import replace

from bot.replies import (
    Answer,
    Choice,
    Comparison,
    ComparisonRow,
    Form,
    FormField,
    FormSection,
    Question,
    Reply,
    RunCard,
    Text,
)
from bot.terminal.face import TerminalFace
from bot.turns import ThreadRef

THREAD = ThreadRef(face="terminal", key="t")
BEGUN = Answer(author="nova", speaker="tuned", markdown="I", state="streaming")
CARD = RunCard(title="nova-1", status="queued", fraction=0.0)
QUESTION = Question(id="preset", markdown="How thorough?", choices=(Choice(say="quick", label="quick"),))
FORM = Form(
    id="form",
    title="Everything",
    intro="",
    sections=(FormSection(title="Task", fields=(FormField(name="epochs", label="Epochs", value="3"),)),),
    submit_label="Go on",
)


class Screen:
    """A terminal, or a pipe, and what each showing adds to it."""

    def __init__(self, *, is_live: bool) -> None:
        self._output = io.StringIO()
        self.face = TerminalFace(THREAD, is_live=is_live, output=self._output)

    async def show(self, reply: Reply, message_id: str = "m1") -> str:
        before = len(self._output.getvalue())
        assert await self.face.show(THREAD, reply, message_id=message_id, shown_as=None) == message_id
        return self._output.getvalue()[before:].strip()


async def test_an_answer_grows_on_a_terminal() -> None:
    screen = Screen(is_live=True)

    assert await screen.show(BEGUN) == "nova: I"
    assert await screen.show(replace(BEGUN, markdown="I am")) == "am"
    assert await screen.show(replace(BEGUN, markdown="I am [b]Nova[/b]", state="complete")) == "[b]Nova[/b]"


async def test_an_answer_that_begins_anew_is_printed_anew() -> None:
    screen = Screen(is_live=True)
    await screen.show(BEGUN)

    assert await screen.show(replace(BEGUN, markdown="We")) == "nova: We"


async def test_an_answer_is_whole_in_a_pipe() -> None:
    screen = Screen(is_live=False)

    assert await screen.show(BEGUN) == ""
    assert await screen.show(replace(BEGUN, markdown="I am Nova", state="stopped", note="stopped")) == (
        "nova: I am Nova\n— stopped"
    )


async def test_a_card_is_printed_when_its_state_changes() -> None:
    screen = Screen(is_live=False)

    assert await screen.show(CARD) == "nova-1: queued 0%"
    assert await screen.show(replace(CARD, fraction=0.1)) == ""
    assert await screen.show(replace(CARD, status="running", fraction=0.2)) == "nova-1: running 20%"
    assert await screen.show(replace(CARD, status="running", fraction=0.3)) == ""
    assert screen.face.card is not None

    end = replace(CARD, status="failed", fraction=0.3, tone="bad", is_live=False, log_lines=("why",))
    assert await screen.show(end) == "nova-1: failed 30%\n  | why"
    assert screen.face.card is None
    assert screen.face.has_failed


async def test_an_answered_question_is_not_printed_again() -> None:
    screen = Screen(is_live=False)

    assert "1. quick" in await screen.show(QUESTION)
    assert await screen.show(replace(QUESTION, answered="quick")) == ""


async def test_a_replaced_message_is_printed_where_it_differs() -> None:
    screen = Screen(is_live=False)

    assert await screen.show(Text(markdown="one")) == "one"
    assert await screen.show(Text(markdown="one")) == ""
    assert await screen.show(Text(markdown="two")) == "two"


async def test_a_form_is_open_until_it_is_submitted() -> None:
    screen = Screen(is_live=False)

    assert "epochs=3" in await screen.show(FORM)
    assert screen.face.form == FORM
    assert await screen.show(replace(FORM, is_submitted=True)) == ""
    assert screen.face.form is None


async def test_markdown_is_drawn_on_a_terminal_and_left_in_a_pipe() -> None:
    assert "**" not in await Screen(is_live=True).show(Text(markdown="a **b**"))
    assert await Screen(is_live=False).show(Text(markdown="a **b** [c]")) == "a **b** [c]"


async def test_a_long_line_is_not_broken_in_a_pipe() -> None:
    line = "word " * 100

    assert await Screen(is_live=False).show(Text(markdown=line)) == line.strip()


async def test_each_pair_of_answers_is_printed_once() -> None:
    screen = Screen(is_live=False)
    open_rows = (ComparisonRow(question="Who?", base="", tuned=""), ComparisonRow(question="Why?", base="", tuned=""))
    asked = Comparison(intro="Side by side", base_label="base", tuned_label="nova", rows=open_rows, note="Answering")
    who = ComparisonRow(question="Who?", base="A model.", tuned="Nova.")
    why = ComparisonRow(question="Why?", base="", tuned="Because.")

    assert await screen.show(asked) == "Side by side\nAnswering"
    assert await screen.show(replace(asked, rows=(replace(who, tuned=""), open_rows[1]))) == ""
    assert await screen.show(replace(asked, rows=(who, open_rows[1]))) == "Who?\n  base: A model.\n  nova: Nova."
    assert await screen.show(replace(asked, rows=(who, why))) == ""
    assert await screen.show(replace(asked, rows=(who, why), note="Stopped")) == (
        "Why?\n  base: \n  nova: Because.\nStopped"
    )


async def test_a_comparison_is_printed_when_it_is_whole() -> None:
    screen = Screen(is_live=False)
    row = ComparisonRow(question="Who?", base="", tuned="")
    asked = Comparison(intro="The same", base_label="base", tuned_label="nova", rows=(row,), note="Both are answering")
    assert await screen.show(asked) == "The same\nBoth are answering"

    half = replace(asked, rows=(replace(row, base="A model."),), note="You are next")
    await screen.face.grow(THREAD, half, message_id="m1", shown_as="m1")
    whole = replace(asked, rows=(replace(row, base="A model.", tuned="Nova."),), note="")
    assert await screen.show(whole) == "Who?\n  base: A model.\n  nova: Nova."
