"""The tokenizers of base models, each read once."""

import asyncio
from pathlib import Path

from training.tokens import ChatTokenizer


class Tokenizers:
    """Reads tokenizers beside the event loop, and keeps them."""

    def __init__(self) -> None:
        self._loading: dict[Path, asyncio.Task[ChatTokenizer]] = {}

    async def of(self, folder: Path) -> ChatTokenizer:
        """The tokenizer of a checkpoint. Raises TokenizerError."""
        task = self._loading.get(folder)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(asyncio.to_thread(ChatTokenizer.from_checkpoint, folder))
            self._loading[folder] = task
        return await asyncio.shield(task)
