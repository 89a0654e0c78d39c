"""What only one person sees: an answer to their command where the app cannot post."""

from slack_sdk.webhook.async_client import AsyncWebhookClient

TIMEOUT_SECONDS = 10


async def tell_privately(response_url: str, sentence: str) -> None:
    """Say something to whoever gave a command, through its own address (five times, within half an hour)."""
    client = AsyncWebhookClient(response_url, timeout=TIMEOUT_SECONDS)
    await client.send(text=sentence, response_type="ephemeral")
