"""A reply in plain words: what a notification shows, and a screen reader says first."""

from bot.replies import (
    Answer,
    Comparison,
    DatasetCard,
    Form,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    RunCard,
    Text,
)
from bot.slack.fitting import marked


def words_of(reply: Reply, limit: int) -> str:
    """The gist of a reply, for ``text``, which is ``mrkdwn``; at most ``limit`` characters."""
    return marked(_gist(reply).strip(), limit)


def _gist(reply: Reply) -> str:
    match reply:
        case Text() | Question() | Answer():
            return reply.markdown
        case Notice():
            return reply.text
        case RunCard():
            return f"{reply.title}: {reply.status}"
        case DatasetCard():
            facts = ", ".join(f"{fact.value} {fact.label}" for fact in reply.facts)
            return f"{reply.title}: {facts}"
        case Review():
            return f"{reply.title}\n{reply.subtitle}"
        case Comparison():
            return reply.intro
        case Form() | Listing() | Log():
            return reply.title
