"""The application ends in the middle of something and starts again: threads go on where they were."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from bot.settings import Settings
from bot.slack import slack_of
from bot.wiring import Application, assemble
from tests.conversing import add_base_model, identity
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.living import until
from tests.slack_emulator import SlackEmulator
from tests.slack_talk import SlackTalk, slack_settings, slack_talk

LINE = "!finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"


@asynccontextmanager
async def running(settings: Settings, runs: FakeRuns, servers: FakeModelServer) -> AsyncIterator[Application]:
    async with (
        assemble(settings, runs=runs, servers=servers) as application,
        slack_of(application),
        application.running(),
    ):
        yield application


async def test_an_answer_that_was_cut_off_is_closed_and_says_so(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        settings = slack_settings(slack, workspace, tmp_path / "home")
        runs = FakeRuns(settings.artifacts_root)
        with closing(FakeModelServer()) as servers:
            async with running(settings, runs, servers) as application:
                await add_base_model(application.world.store, settings.models_folder / "tiny-instruct")
                talk = SlackTalk(slack=slack, workspace=workspace, application=application, person=ann, channel=ann.dm)
                await talk.say(LINE, files=[identity(tmp_path / "identity.jsonl")])
                await until(lambda: bool(runs.attempts))
                runs.finish()
                await until(lambda: "You are talking to identity-1" in talk.words())
                await talk.at_rest()
                host = next(iter(servers.hosts.values()))
                host.answer, host.between_tokens_s = lambda model, messages: " ".join(f"w{n}" for n in range(500)), 0.2
                await ann.post(ann.dm, "a long one", thread=talk.root)
                await until(lambda: "w9" in talk.words())
                answer = talk.messages()[-1]
                assert answer.is_streaming
            before = [message.ts for message in talk.messages()]
            async with running(settings, runs, servers) as application:
                talk.application = application
                await until(lambda: not answer.is_streaming)
                await talk.quiet()
                assert "w9" in answer.words
                assert "Stop generating" not in answer.buttons
                assert "Ask again" in answer.buttons
                assert [message.ts for message in talk.messages()] == before
                # The server comes up beside it.
                await until(lambda: bool(servers.hosts))
                host = next(iter(servers.hosts.values()))
                host.answer, host.between_tokens_s = lambda model, messages: "short", 0.0
                assert "short" in await talk.press("Ask again")


async def test_a_stream_whose_beginning_was_never_confirmed_is_not_begun_again(tmp_path: Path) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        await talk.say(LINE, files=[identity(tmp_path / "identity.jsonl")])
        runs = talk.application.world.runs
        assert isinstance(runs, FakeRuns)
        await until(lambda: bool(runs.attempts))
        runs.finish()
        await until(lambda: "You are talking to identity-1" in talk.words())
        await talk.at_rest()
        before = len(talk.messages())
        talk.slack.faults.lost_answers = {"chat.startStream": 1.0}
        answered = await talk.say("Who are you?")
        assert "heard: Who are you?" in answered
        assert len(talk.messages()) == before + 1
        assert not talk.messages()[-1].is_streaming
