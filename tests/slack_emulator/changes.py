"""Tells whoever looks at the workspace that something changed."""

import asyncio
from collections.abc import Callable


class Changes:
    """A number that grows with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def note(self) -> None:
        """Something changed."""
        self.version += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def after(self, version: int) -> int:
        """Return the version as soon as it is newer than ``version``."""
        while self.version <= version:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        return self.version

    async def until(self, holds: Callable[[], object], *, within_s: float) -> bool:
        """Return True as soon as ``holds()`` is truthy, False where it was not in that time.

        It is asked after every change, and a few times a second for what changes by the clock alone.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        while not holds():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            version = self.version
            try:
                async with asyncio.timeout(min(left, 0.25)):
                    await self.after(version)
            except TimeoutError:
                continue
        return True
