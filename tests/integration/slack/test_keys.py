"""Keys to the endpoint, asked for in Slack."""

import os
import re
from contextlib import suppress
from pathlib import Path

from tests.living import until
from tests.slack_talk import slack_talk

SECRET = re.compile(r"tsk_[\w-]{43}")


def files_with(secret: bytes, home: Path) -> list[str]:
    """The files of a home that hold it. Something lives there: a file may go while it is looked at."""
    found = []
    for folder, _, names in os.walk(home):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and secret in path.read_bytes():
                    found.append(path.name)
    return found


async def test_a_key_is_posted_to_its_person_alone_and_kept_nowhere(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        await talk.say("!key new laptop")
        await until(lambda: SECRET.search(talk.words()) is not None)
        found = SECRET.findall(talk.words())
        assert len(found) == 1
        assert files_with(found[0].encode(), tmp_path / "home") == []
        assert "is revoked" in await talk.press("Revoke it")


async def test_a_key_that_slack_makes_wait_is_shown_all_the_same(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        await talk.say("!key new laptop")
        await until(lambda: SECRET.search(talk.words()) is not None)
        # Its limits are a channel's: what is asked at once waits for what was said a moment ago.
        for name in ("desk", "phone"):
            await talk.person.post(talk.channel, f"!key new {name}", thread=talk.root)
        await until(lambda: len(SECRET.findall(talk.words())) == 3)
        assert "could not be shown" not in talk.words()


async def test_a_key_is_not_made_where_others_read(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        talk.channel = talk.workspace.add_channel("general", members=[talk.person])
        news = await talk.say("@Tunesmith !key new laptop")
        assert "Ask me in a direct message" in news
        assert "You have no keys" in await talk.say("!key")
