"""Whatever happens to deliveries, calls and our own process: each message is shown once, in order, its last state last.

200 people hold the same conversation, each with a fate of their own: deliveries that come twice, late or in another
order, calls that fail, or are done and their answer is lost, limits, broken sockets, and kill -9 of the application.
All their threads must end as one that nothing disturbed.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation

from bot.slack.installations import Installations, cipher
from storage.migrations import upgrade
from storage.store import Store
from tests.conversing import identity
from tests.slack_emulator import ANSWER_S, Person, SlackEmulator, SlackMessage, Workspace
from tests.slack_emulator.delivery import OperationTimeout
from tests.slack_emulator.faults import Faults
from tests.slack_talk import is_quiet

WORKSPACES, PEOPLE = 10, 5
ROUNDS = 4
KILLS = 3
PATIENCE_S = 150.0
RETRY_PAUSES_S = (0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0)
"""Slack goes on for six minutes: a process that stalls for some seconds under fifty people has lost nothing by it."""
GIVEN_UP = "Slack gave up what was never acknowledged"
LOOK_S = 60.0
"""So long a person looks at a thread before pressing a button once more."""

SCRIPT = (
    ((), "in place of `{{name}}`"),
    (("Nova",), "in place of `{{author}}`"),
    (("Acme",), "Which base model?"),
    (("PRESS tiny-instruct",), "How thorough?"),
    (("quick",), "The plan: "),
    (("lr 1e-4, 2 epochs",), "Noted: Learning rate 1e-4, Epochs 2"),
    (("cancel",), "put aside"),
    (("!runs",), "no runs"),
)


@dataclass(kw_only=True)
class Process:
    """The application; killed and started again."""

    environment: dict[str, str]
    database_url: str
    log: Path
    running: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "tests.slack_process"],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait()


async def install(store: Store, keys: str, workspace: Workspace) -> None:
    await Installations(store, cipher(keys)).async_save(
        Installation(
            team_id=workspace.team_id,
            user_id="U0",
            bot_token=workspace.bot_token,
            bot_id=workspace.bot_id,
            bot_user_id=workspace.bot_user_id,
        )
    )


async def make_process(slack: SlackEmulator, home: Path) -> Process:
    """A home in which the app is installed in every workspace of the emulator."""
    keys = Fernet.generate_key().decode()
    url = f"sqlite+aiosqlite:///{home / 'tunesmith.db'}"
    await upgrade(url)
    store = Store(url)
    for workspace in slack.workspaces.values():
        await install(store, keys, workspace)
    await store.close()
    environment = {
        "TUNESMITH_HOME": str(home),
        "TUNESMITH_SLACK_API_URL": slack.api_url,
        "TUNESMITH_SLACK_APP_TOKEN": slack.app_token,
        "TUNESMITH_SLACK_CLIENT_ID": slack.client_id,
        "TUNESMITH_SLACK_CLIENT_SECRET": slack.client_secret,
        "TUNESMITH_ENCRYPTION_KEYS": keys,
    }
    return Process(environment=environment, database_url=url, log=home / "process.log")


def said_by_app(person: Person, root: str) -> list[SlackMessage]:
    thread = person.workspace.thread(person.dm, root)
    return [message for message in thread if message.user == person.workspace.bot_user_id]


async def until(is_so: Callable[[], bool], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not is_so() and time.monotonic() < deadline:  # noqa: ASYNC110  threads are many: looked at now and then
        await asyncio.sleep(0.5)
    return is_so()


async def press(person: Person, root: str, label: str, has_come: Callable[[], bool]) -> None:
    """Press a button as a person does: once more where nothing comes of it and it is still there."""
    while not has_come():
        offering = [message for message in said_by_app(person, root) if label in message.buttons]
        if not offering:
            return
        try:
            await person.press(person.dm, offering[-1].ts, label)
        except OperationTimeout:
            await until(has_come, within_s=LOOK_S)
        else:
            return


async def converse(person: Person, data: Path) -> str:
    """Hold the conversation; the thread in which it was held."""
    root = await person.post(person.dm, files=[("identity.jsonl", data)])
    for lines, expected in SCRIPT:
        has_come = partial(stands, person, root, expected, 1 + times(person, root, expected))
        for line in lines:
            if line.startswith("PRESS "):
                await press(person, root, line.removeprefix("PRESS "), has_come)
            else:
                await person.post(person.dm, line, thread=root)
        came = await until(has_come, within_s=PATIENCE_S)
        assert came or not person.slack.delivery.lost, GIVEN_UP
        assert came, f"after {lines} never came {expected!r}: {shown(person, root)[-3:]}"
    return root


def times(person: Person, root: str, expected: str) -> int:
    """How many of the newest messages of the app have these words."""
    return sum(expected in message.words for message in said_by_app(person, root)[-4:])


def stands(person: Person, root: str, expected: str, least: int) -> bool:
    return times(person, root, expected) >= least


async def quiet(slack: SlackEmulator, process: Process) -> None:
    """Wait until everything that was said is handled, and its last state is shown, however late."""
    store = Store(process.database_url)
    try:
        await slack.settled(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while not await is_quiet(store):
            assert time.monotonic() < deadline, "something was never handled, or never shown"
            await asyncio.sleep(0.5)
    finally:
        await store.close()


def shown(person: Person, root: str) -> list[str]:
    return [re.sub(r"[\d.]+ GB", "GB", message.words) for message in said_by_app(person, root)]


def crowd(slack: SlackEmulator, workspaces: int, people: int) -> list[Person]:
    return [
        slack.add_workspace(f"Workspace {number}").add_user(f"Person {number}.{one}")
        if one == 0
        else list(slack.workspaces.values())[-1].add_user(f"Person {number}.{one}")
        for number in range(workspaces)
        for one in range(people)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    async def hold() -> list[str]:
        async with SlackEmulator(answer_s=ANSWER_S) as slack:
            slack.delivery.retry_pauses_s = RETRY_PAUSES_S
            (person,) = crowd(slack, 1, 1)
            process = await make_process(slack, tmp_path_factory.mktemp("undisturbed"))
            process.start()
            try:
                root = await converse(person, identity(process.log.with_name("identity.jsonl")))
                await quiet(slack, process)
                return shown(person, root)
            finally:
                process.kill()

    return asyncio.run(hold())


def trouble(seed: int) -> Faults:
    return Faults(
        seed=seed,
        duplicates=0.3,
        delays=(0.0, 0.05),
        out_of_order=0.2,
        held_back_s=0.1,
        socket_drops=0.003,
        fail={"*": 0.05},
        lost_answers={"chat.postMessage": 0.1, "chat.update": 0.05},
        rate_limited={"chat.postMessage": 0.03, "chat.update": 0.03},
    )


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_every_thread_ends_as_the_undisturbed_one(seed: int, tmp_path: Path, undisturbed: list[str]) -> None:
    async with SlackEmulator(speed=0, faults=trouble(seed), checks_blocks=False, answer_s=ANSWER_S) as slack:
        slack.delivery.retry_pauses_s = RETRY_PAUSES_S
        people = crowd(slack, WORKSPACES, PEOPLE)
        process = await make_process(slack, tmp_path)
        process.start()
        data = identity(tmp_path / "identity.jsonl")
        holding = asyncio.gather(*(converse(person, data) for person in people))
        chance = random.Random(seed)
        try:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(4, 9))
                process.kill()
                process.start()
            roots = await holding
            await quiet(slack, process)
            assert not slack.delivery.lost, GIVEN_UP
        finally:
            holding.cancel()
            process.kill()
        ended = [shown(person, root) for person, root in zip(people, roots, strict=True)]
        different = [thread for thread in ended if thread != undisturbed]
        assert not different, f"{len(different)} of {len(ended)} differ, such as\n{different[0]}\nfrom\n{undisturbed}"
