"""Where a conversation is in Slack, and its name as the key of a thread."""

from dataclasses import dataclass

FACE = "slack"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A thread of Slack: a workspace, a channel (or direct messages), and the message that it hangs from."""

    team: str
    channel: str
    root: str
    """The ``ts`` of the thread's first message."""

    @property
    def is_direct(self) -> bool:
        """Whether it is between one person and the app: Slack names such channels with a D, and no others."""
        return self.channel.startswith("D")

    @property
    def key(self) -> str:
        """Its name in ``threads.face_key``."""
        return f"{self.team}/{self.channel}/{self.root}"


def read_place(key: str) -> Place:
    """The place that a key names."""
    team, channel, root = key.split("/")
    return Place(team=team, channel=channel, root=root)


def person_name(team: str, user: str) -> str:
    """A person's name in ``users.name``."""
    return f"slack/{team}/{user}"
