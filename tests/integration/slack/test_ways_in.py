"""Where a conversation in Slack can begin, and what is said where it cannot."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conversing import identity
from tests.living import until
from tests.slack_emulator import Channel, SlackMessage
from tests.slack_talk import SlackTalk, slack_talk


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[SlackTalk]:
    async with slack_talk(tmp_path / "home") as made:
        yield made


def go_to(talk: SlackTalk, name: str, *, has_bot: bool = True, is_private: bool = False) -> Channel:
    talk.channel = talk.workspace.add_channel(name, members=(talk.person,), has_bot=has_bot, is_private=is_private)
    return talk.channel


def roots(talk: SlackTalk) -> list[SlackMessage]:
    return talk.workspace.channel_messages(talk.channel)


async def test_a_command_begins_a_thread_in_its_channel(talk: SlackTalk) -> None:
    go_to(talk, "general")
    await talk.person.slash(talk.channel, "/finetune")
    await talk.quiet()
    (root,) = roots(talk)
    assert root.user == talk.workspace.bot_user_id
    assert f"<@{talk.person.id}>" in str(root.blocks)
    assert "/finetune" in root.words
    talk.root = root.ts
    assert "Which data set do you want to learn from?" in talk.words()
    assert "Which base model?" in await talk.say("the example data")


async def test_tune_reaches_every_command(talk: SlackTalk) -> None:
    go_to(talk, "general")
    for text, answered in (("runs", "no runs"), ("", "/undeploy"), ("nonsense", "nonsense"), ("/status", "no runs")):
        await talk.person.slash(talk.channel, "/tune", text)
        await talk.quiet()
        talk.root = roots(talk)[-1].ts
        assert answered in talk.words().lower(), text
    assert len(roots(talk)) == 4


@pytest.mark.parametrize("is_private", [True, False])
async def test_where_the_app_is_not_a_member_it_asks_to_be_invited(talk: SlackTalk, is_private: bool) -> None:
    go_to(talk, "secret", has_bot=False, is_private=is_private)
    await talk.person.slash(talk.channel, "/finetune")
    await talk.quiet()
    await until(lambda: len(roots(talk)) == 1)
    (said,) = roots(talk)
    assert said.ephemeral_to == talk.person.id
    assert "/invite @Tunesmith" in said.words
    talk.channel.has_bot = True
    await talk.person.slash(talk.channel, "/finetune")
    await talk.quiet()
    assert "/finetune" in roots(talk)[-1].words


@pytest.mark.parametrize("is_private", [True, False])
async def test_a_message_s_shortcut_where_the_app_is_not_a_member_asks_for_an_invitation(
    talk: SlackTalk, tmp_path: Path, is_private: bool
) -> None:
    go_to(talk, "secret", has_bot=False, is_private=is_private)
    data = identity(tmp_path / "identity.jsonl")
    stamp = await talk.person.post(talk.channel, "look at this", files=[(data.name, data)])
    await talk.person.message_shortcut(talk.channel, stamp, "finetune_file")
    await until(lambda: len(roots(talk)) == 2)
    said = roots(talk)[-1]
    assert said.ephemeral_to == talk.person.id
    assert "/invite @Tunesmith" in said.words
    talk.channel.has_bot = True
    talk.root = stamp
    await talk.person.message_shortcut(talk.channel, stamp, "finetune_file")
    await talk.quiet()
    assert "in place of `{{name}}`" in talk.words()


@pytest.mark.parametrize("is_private", [True, False])
async def test_a_button_asks_for_an_invitation_once_the_app_was_removed(talk: SlackTalk, is_private: bool) -> None:
    go_to(talk, "general", is_private=is_private)
    await talk.say("@Tunesmith finetune")
    talk.channel.has_bot = False
    await talk.press("The example data")
    await until(lambda: len(roots(talk)) == 2)
    said = roots(talk)[-1]
    assert said.ephemeral_to == talk.person.id
    assert "/invite @Tunesmith" in said.words
    talk.channel.has_bot = True
    assert "Which base model?" in await talk.press("The example data")


@pytest.mark.parametrize("code", ["restricted_action_read_only_channel", "something_new"])
async def test_a_command_where_the_app_may_not_post_is_told_so(talk: SlackTalk, code: str) -> None:
    go_to(talk, "announcements").refuses_posts = code
    await talk.person.slash(talk.channel, "/finetune")
    await until(lambda: len(roots(talk)) == 1)
    (said,) = roots(talk)
    assert said.ephemeral_to == talk.person.id
    assert f"({code})" in said.words
    await talk.quiet()


async def test_a_mention_is_answered_in_its_thread_once(talk: SlackTalk) -> None:
    go_to(talk, "general")
    assert "Fine-tune a model" in await talk.say("@Tunesmith hello")
    assert len(talk.messages()) == 1
    # In its own thread a mention is one word too, and a command's name alone is the command.
    assert "no runs" in (await talk.say("@Tunesmith runs")).lower()
    assert len(talk.messages()) == 2


async def test_it_reads_its_own_threads_only(talk: SlackTalk) -> None:
    go_to(talk, "general")
    foreign = await talk.person.post(talk.channel, "lunch?")
    await talk.person.post(talk.channel, "yes", thread=foreign)
    await talk.person.post(talk.channel, "runs")
    await talk.quiet()
    assert [message.text for message in roots(talk)] == ["lunch?", "runs"]
    assert len(talk.workspace.thread(talk.channel, foreign)) == 2
    # Asked in the middle of a thread of other people's, it goes on there.
    talk.root = foreign
    assert "Fine-tune a model" in await talk.say("@Tunesmith hello")
    assert "no runs" in (await talk.say("!runs")).lower()


async def test_every_direct_message_begins_a_thread(talk: SlackTalk, tmp_path: Path) -> None:
    assert "in place of `{{name}}`" in await talk.say(files=[identity(tmp_path / "identity.jsonl")])
    first, talk.root = talk.root, None
    assert "no runs" in (await talk.say("!runs")).lower()
    assert talk.root != first


async def test_shortcuts(talk: SlackTalk, tmp_path: Path) -> None:
    await talk.person.shortcut("new_finetuning")
    await talk.quiet()
    talk.root = roots(talk)[-1].ts
    assert "Which data set do you want to learn from?" in talk.words()
    go_to(talk, "general")
    data = identity(tmp_path / "identity.jsonl")
    talk.root = await talk.person.post(talk.channel, "look at this", files=[(data.name, data)])
    await talk.person.message_shortcut(talk.channel, talk.root, "finetune_file")
    await talk.quiet()
    assert "in place of `{{name}}`" in talk.words()


async def test_home_shows_what_there_is_in_the_person_s_language(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home", locale="zh-CN") as talk:
        home = await talk.person.open_home()
        assert home is not None
        assert "tiny-instruct" in home.words
        assert "开始微调" in home.words or "微调" in home.words
        await talk.person.press_in_view("我的运行", is_home=True)
        await talk.quiet()
        talk.root = roots(talk)[-1].ts
        assert "运行" in talk.words()
        prompts = await talk.person.open_messages_tab()
        assert len(prompts) == 4
        assert "Which base" not in talk.words()
        talk.root = None
        assert "数据集" in await talk.say(prompts[0]["message"])


async def test_a_file_of_one_byte_and_several_at_once(talk: SlackTalk, tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.jsonl"
    tiny.write_bytes(b"{")
    assert "cannot use **tiny.jsonl**" in await talk.say(files=[tiny])
    news = await talk.say(files=[identity(tmp_path / "one.jsonl"), identity(tmp_path / "two.jsonl")])
    assert "one.jsonl" in news
    assert "two.jsonl" in news


async def test_home_prompts_and_forms_come_although_slack_fails_once(talk: SlackTalk, tmp_path: Path) -> None:
    talk.slack.faults.fail_next |= {"views.publish", "assistant.threads.setSuggestedPrompts", "views.open"}
    assert await talk.person.open_home() is not None
    assert await talk.person.open_messages_tab()
    line = "!finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct"
    await talk.say(line, files=[identity(tmp_path / "identity.jsonl")])
    await talk.say("custom")
    await talk.person.press(talk.channel, talk.messages()[-1].ts, "All settings")
    assert talk.person.modal is not None
    assert not talk.slack.faults.fail_next


async def test_a_sign_in_page_is_not_taken_for_a_file(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        assert talk.workspace.token is not None
        scopes = tuple(scope for scope in talk.workspace.token.scopes if scope != "files:read")
        object.__setattr__(talk.workspace.token, "scopes", scopes)
        news = await talk.say(files=[identity(tmp_path / "identity.jsonl")])
        assert "sign-in page" in news
        assert "files:read" in news


async def test_a_download_that_breaks_off_goes_on(talk: SlackTalk, tmp_path: Path) -> None:
    data = tmp_path / "long.jsonl"
    rows = (f'{{"instruction": "What is {n}?", "output": "It is {n}."}}\n' for n in range(60_000))
    data.write_text("".join(rows))
    talk.slack.faults.cut_downloads = 0.6
    assert "60,000" in await talk.say(files=[data])


async def test_admins_and_channels(tmp_path: Path) -> None:
    line = "!finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"
    data = identity(tmp_path / "identity.jsonl")
    async with slack_talk(tmp_path / "home", slack_admins="U0BOSS") as talk:
        boss = talk.workspace.add_user("Eve Boss")
        boss_id = boss.id
        news = await talk.say(line, files=[data])
        assert "Ask U0BOSS" in news
        assert "The plan" in talk.words()
    async with slack_talk(tmp_path / "other", slack_channels="C0ELSE", slack_admins=boss_id) as talk:
        assert "is done in" in await talk.say(line, files=[data])


async def test_a_form_does_not_wait_for_a_slack_that_takes_its_time(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home", slack_admins="U0BOSS") as talk:
        for said in ("!finetune", "the example data", "tiny-instruct", "custom"):
            await talk.say(said)
        await talk.person.press(talk.channel, talk.messages()[-1].ts, "All settings")
        talk.slack.faults.held["users.info"] = answering = asyncio.Event()
        # What is wrong with it cannot be known in time, and is said in the thread.
        assert await talk.person.submit({"learning_rate": "fast"}) == {}
        answering.set()
        await talk.quiet()
        assert "takes a number" in talk.words()
