"""The application in Slack as a process of its own, over fakes, to be killed. Its settings are the environment's."""

import asyncio

from bot.garbage import keep_what_is_there
from bot.settings import read_settings
from tests.slack_talk import slack_application


async def main() -> None:
    async with slack_application(read_settings()):
        keep_what_is_there()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
