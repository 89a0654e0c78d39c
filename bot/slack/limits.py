"""Slack's rate limits, kept before Slack has to say so: what waits here is newest when its turn comes."""

from aiolimiter import AsyncLimiter

A_MINUTE = 60.0
PER_MINUTE = {
    "chat.update": 50,
    "chat.delete": 50,
    "chat.startStream": 20,
    "chat.stopStream": 20,
    "chat.appendStream": 100,
    "conversations.info": 50,
    "conversations.replies": 50,
    "conversations.history": 50,
    "users.info": 100,
    "users.list": 20,
}
"""Of methods that are called often, in one workspace: the lower end of what Slack's tiers promise."""

POSTS = (3, 3.6)
"""``chat.postMessage`` in one channel: so many at once, then as many again in so many seconds. Slack promises one a
second, and forgives a short burst."""


class Limits:
    """Waits for a method's turn, by workspace, or for posts by channel."""

    def __init__(self) -> None:
        self._limiters: dict[tuple[str, str], AsyncLimiter] = {}

    async def wait(self, team: str, method: str, *, channel: str = "") -> None:
        """Return when the method may be called."""
        limiter = self._limiter(team, method, channel)
        if limiter is not None:
            await limiter.acquire()

    def has_room(self, team: str, method: str) -> bool:
        """Whether the method may be called at once."""
        limiter = self._limiter(team, method, "")
        return limiter is None or limiter.has_capacity()

    def _limiter(self, team: str, method: str, channel: str) -> AsyncLimiter | None:
        is_post = method == "chat.postMessage"
        if not is_post and method not in PER_MINUTE:
            return None
        key = (team, f"{method}/{channel}" if is_post else method)
        if key not in self._limiters:
            self._limiters[key] = AsyncLimiter(*POSTS) if is_post else AsyncLimiter(PER_MINUTE[method], A_MINUTE)
        return self._limiters[key]
