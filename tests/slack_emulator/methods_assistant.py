"""What stands around an agent's conversation: ``assistant.threads.*``."""

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.state import Channel, Json, Refused

SCOPES = ("assistant:write", "chat:write")
MOST_PROMPTS = 4


@method(
    "assistant.threads.setStatus",
    required="channel_id thread_ts status",
    optional="loading_messages icon_emoji icon_url username",
    scopes=SCOPES,
)
def set_status(call: Call) -> Json:
    channel = call.channel_inside("channel_id")
    thread = str(call.get("thread_ts"))
    if thread not in channel.messages:
        raise Refused("thread_not_found")
    if call.get("status"):
        channel.statuses[thread] = str(call.get("status"))
    else:
        channel.statuses.pop(thread, None)
    return {}


@method(
    "assistant.threads.setSuggestedPrompts",
    required="channel_id prompts",
    optional="thread_ts title",
    scopes=SCOPES,
)
def set_suggested_prompts(call: Call) -> Json:
    channel = _direct(call)
    prompts = call.get("prompts")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= MOST_PROMPTS:
        raise Refused("invalid_arguments", response_metadata={"messages": [f"[ERROR] 1 to {MOST_PROMPTS} prompts"]})
    for prompt in prompts:
        if not isinstance(prompt, dict) or set(prompt) != {"title", "message"} or not all(prompt.values()):
            raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] a prompt: title and message"]})
    call.workspace.users[next(iter(channel.members))].suggested_prompts = list(prompts)
    return {}


@method("assistant.threads.setTitle", required="channel_id thread_ts title", scopes=SCOPES)
def set_title(call: Call) -> Json:
    _direct(call)
    return {}


def _direct(call: Call) -> Channel:
    channel = call.channel_inside("channel_id")
    if channel.kind != "im":
        raise Refused("channel_not_supported")
    return channel
