"""A stateful Slack of our own, as strict as the real one, for tests: nothing here ever talks to slack.com."""

from tests.slack_emulator.api import CallRecord
from tests.slack_emulator.delivery import ANSWER_S, OperationTimeout, signature
from tests.slack_emulator.emulator import SlackEmulator
from tests.slack_emulator.faults import Faults
from tests.slack_emulator.people import Person
from tests.slack_emulator.state import Channel, File, Json, Refused, SlackMessage, View
from tests.slack_emulator.workspace import Workspace

__all__ = [
    "ANSWER_S",
    "CallRecord",
    "Channel",
    "Faults",
    "File",
    "Json",
    "OperationTimeout",
    "Person",
    "Refused",
    "SlackEmulator",
    "SlackMessage",
    "View",
    "Workspace",
    "signature",
]
