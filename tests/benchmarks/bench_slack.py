"""500 people in 50 channels of an emulated Slack speak in their threads at once; the app is a process of its own.

How long each delivery waits for its acknowledgement, whether everybody is answered, and whether Slack's rate limits,
which the emulator keeps, are ever hit.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from tests.benchmarks.bench_turns import Figure
from tests.slack_emulator import ANSWER_S, Channel, Person, SlackEmulator, Workspace
from tests.slack_talk import slack_settings

PEOPLE, CHANNELS = 500, 50
PATIENCE_S = 120.0
CONNECTED_S = 30.0
SECONDS_TO_BEGIN = 10.0


async def _figures(folder: Path) -> list[Figure]:
    async with SlackEmulator(checks_blocks=False, answer_s=ANSWER_S) as slack:
        workspace = slack.add_workspace("Acme")
        people = [workspace.add_user(f"Person {number}") for number in range(PEOPLE)]
        channels = [workspace.add_channel(f"channel-{number}", members=people) for number in range(CHANNELS)]
        process = await _start(slack, workspace, folder)
        try:
            await slack.changes.until(lambda: slack.delivery.sockets, within_s=CONNECTED_S)
            return await _measure(slack, people, channels)
        finally:
            process.kill()
            await process.wait()


async def _start(slack: SlackEmulator, workspace: Workspace, folder: Path) -> asyncio.subprocess.Process:
    settings = slack_settings(slack, workspace, folder)
    environment = {
        "TUNESMITH_HOME": str(settings.home),
        "TUNESMITH_SLACK_API_URL": slack.api_url,
        "TUNESMITH_SLACK_APP_TOKEN": slack.app_token,
        "TUNESMITH_SLACK_BOT_TOKEN": workspace.bot_token,
    }
    command = (sys.executable, "-m", "tests.slack_process")
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)


async def _measure(slack: SlackEmulator, people: list[Person], channels: list[Channel]) -> list[Figure]:
    threads: list[tuple[Person, Channel, str]] = []
    for place, person in enumerate(people):
        channel = channels[place % CHANNELS]
        threads.append((person, channel, await person.post(channel, "@Tunesmith hello")))
        await asyncio.sleep(SECONDS_TO_BEGIN / PEOPLE)
    await _answered(slack, threads, times=1)
    begin, before = time.monotonic(), len(slack.delivery.acknowledged_s)
    for person, channel, root in threads:
        await person.post(channel, "hello again", thread=root)
    # The app's own messages come back as deliveries too, later: these are those of the people.
    await slack.changes.until(lambda: len(slack.delivery.acknowledged_s) >= before + PEOPLE, within_s=PATIENCE_S)
    took = sorted(1000 * seconds for seconds in slack.delivery.acknowledged_s[before : before + PEOPLE])
    answered = await _answered(slack, threads, times=2)
    found = (
        ("acknowledged, median", statistics.median(took), "ms"),
        ("acknowledged, p99", took[int(len(took) * 0.99) - 1], "ms"),
        ("answered", answered, "people"),
        ("all answered after", time.monotonic() - begin, "s"),
        ("refused by Slack's rate limits", sum(call.error == "ratelimited" for call in slack.calls), "calls"),
        ("deliveries given up", len(slack.delivery.lost), "deliveries"),
    )
    name = f"Slack, {PEOPLE} people in {CHANNELS} channels at once"
    return [{"figure": f"{name}: {what}", "value": round(value, 1), "unit": unit} for what, value, unit in found]


async def _answered(slack: SlackEmulator, threads: list[tuple[Person, Channel, str]], *, times: int) -> int:
    """Wait until everybody has so many answers; how many have."""
    deadline = time.monotonic() + PATIENCE_S
    answered = 0
    while answered < len(threads) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        answered = sum(_answers(channel, root) >= times for _, channel, root in threads)
    await slack.settled(PATIENCE_S)
    return answered


def _answers(channel: Channel, root: str) -> int:
    return sum(message.thread_ts == root and message.bot_id is not None for message in channel.messages.values())


def figures() -> Iterator[Figure]:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_figures(Path(folder)))


def main() -> None:
    """Print one JSON line a figure."""
    for figure in figures():
        sys.stdout.write(orjson.dumps(figure).decode() + "\n")


if __name__ == "__main__":
    main()
