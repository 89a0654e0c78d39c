"""A Slack to try the bot in by hand: ``python -m tests.slack_emulator [PORT]``."""

import asyncio
import signal
import sys

from tests.slack_emulator.delivery import ANSWER_S
from tests.slack_emulator.emulator import SlackEmulator
from tests.slack_emulator.page import add_page

PORT = 8100


def furnish(slack: SlackEmulator) -> None:
    """A workspace with two people, and a channel that the app is not in."""
    workspace = slack.add_workspace("Acme")
    people = (workspace.add_user("Ann Lee"), workspace.add_user("小林", locale="zh-CN"))
    workspace.add_channel("general", members=people)
    workspace.add_channel("training", members=people)
    workspace.add_channel("board", members=people, is_private=True, has_bot=False)


async def main(port: int) -> None:
    """Serve until interrupted."""
    slack = SlackEmulator(answer_s=ANSWER_S)
    add_page(slack)
    furnish(slack)
    await slack.start(port)
    (workspace,) = slack.workspaces.values()
    lines = (
        f"Open {slack.address}/ and start Tunesmith with:",
        f"TUNESMITH_SLACK_API_URL={slack.api_url}",
        f"TUNESMITH_SLACK_APP_TOKEN={slack.app_token}",
        f"TUNESMITH_SLACK_BOT_TOKEN={workspace.bot_token}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    # Said outright: a shell lets what it starts in the background ignore an interrupt.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await slack.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
