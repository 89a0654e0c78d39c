"""What every face that can change what it has shown must do; subclasses bring the face as a fixture."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bot.faces import Face
from bot.replies import Answer, Notice, Said, Text
from bot.turns import ThreadRef
from tests.web_samples import english


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A face, a thread on it, and what a person sees there, a text a message."""

    face: Face
    thread: ThreadRef
    seen: Callable[[], Iterable[str]]


class FaceContract:
    """``bot.faces.Face``, apart from the terminal, which prints anew what it cannot change."""

    async def test_a_message_is_shown_once_however_often_it_is_shown(self, stage: Stage) -> None:
        first = await stage.face.show(stage.thread, Text(markdown="one"), message_id="m1", shown_as=None)
        again = await stage.face.show(stage.thread, Text(markdown="one"), message_id="m1", shown_as=None)
        assert again == first
        assert [words for words in stage.seen() if "one" in words] == ["one"]

    async def test_a_later_state_takes_the_place_of_the_earlier_one(self, stage: Stage) -> None:
        shown_as = await stage.face.show(stage.thread, Text(markdown="before"), message_id="m1", shown_as=None)
        await stage.face.show(stage.thread, Notice(text="below"), message_id="m2", shown_as=None)
        await stage.face.show(stage.thread, Text(markdown="after"), message_id="m1", shown_as=shown_as)
        assert list(stage.seen()) == ["after", "below"]

    async def test_an_answer_grows_in_its_place_and_ends_whole(self, stage: Stage) -> None:
        growing = Answer(author="nova", speaker="tuned", markdown="", state="streaming")
        shown_as = await stage.face.show(stage.thread, growing, message_id="m1", shown_as=None)
        for text in ("I am", "I am Nova"):
            grown = replace(growing, markdown=text)
            await stage.face.grow(stage.thread, grown, message_id="m1", shown_as=shown_as)
        whole = replace(growing, markdown="I am Nova, of Acme.", state="complete")
        assert await stage.face.show(stage.thread, whole, message_id="m1", shown_as=shown_as) == shown_as
        (words,) = stage.seen()
        assert words.count("I am Nova") == 1
        assert "of Acme." in words

    async def test_every_kind_of_reply_can_be_shown(self, stage: Stage) -> None:
        replies = {reply.kind: reply for reply in english() if not isinstance(reply, Said)}
        for place, reply in enumerate(replies.values()):
            assert await stage.face.show(stage.thread, reply, message_id=f"m{place}", shown_as=None)
        assert len(list(stage.seen())) == len(replies)
