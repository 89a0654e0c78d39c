"""Which of Slack's ways is meant by the settings, and what is missing for it."""

from dataclasses import dataclass

from bot.settings import Settings
from bot.stopping import CannotGoOnError


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How the app is reached, and where it is installed."""

    is_socket: bool
    """Socket Mode; otherwise Slack calls us."""
    is_distributed: bool
    """Installed in any number of workspaces by its install page; otherwise in one, by its token."""


def ways(settings: Settings) -> Ways:
    """The ways that are set. Raises CannotGoOnError where something is missing."""
    if not (settings.slack_app_token or settings.slack_signing_secret):
        raise CannotGoOnError("start_slack.no_way")
    if settings.slack_client_id or settings.slack_client_secret:
        if not (settings.slack_client_id and settings.slack_client_secret):
            raise CannotGoOnError("start_slack.no_client")
        if not settings.encryption_keys:
            raise CannotGoOnError("start_slack.no_keys")
        return Ways(is_socket=bool(settings.slack_app_token), is_distributed=True)
    if not settings.slack_bot_token:
        raise CannotGoOnError("start_slack.no_token")
    return Ways(is_socket=bool(settings.slack_app_token), is_distributed=False)
