"""Fetching a base model from a hub into a folder: only what is needed, and going on where it was broken off."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

from bot.stopping import CannotGoOnError

NEEDED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "README.md",
    "model*.safetensors",
    "model.safetensors.index.json",
)


def fetch(name: str, folder: Path, tell_total: Callable[[int], None], *, endpoint: str | None = None) -> None:
    """Fetch the model ``name`` (``organisation/model``) into ``folder``; ``tell_total`` is told its size first.

    Raises CannotGoOnError: ``hub_no_model``, ``hub_closed``, ``hub_unreachable``, ``hub_no_weights``, ``hub_disk``.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    # Of whichever HTTP library the hub's library uses in its version.
    http_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    try:
        siblings = HfApi(endpoint=endpoint).model_info(name, files_metadata=True).siblings or []
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
        wanted = [file for file in sizes if any(fnmatch(file, pattern) for pattern in NEEDED_FILES)]
        if not any(file.endswith(".safetensors") for file in wanted):
            raise CannotGoOnError("hub_no_weights", name=name)
        tell_total(sum(sizes[file] for file in wanted))
        snapshot_download(name, local_dir=folder, allow_patterns=wanted, endpoint=endpoint)
    except GatedRepoError as error:
        raise CannotGoOnError("hub_closed", name=name) from error
    except RepositoryNotFoundError as error:
        raise CannotGoOnError("hub_no_model", name=name) from error
    except (http_error, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise CannotGoOnError("hub_unreachable", name=name) from error
    except OSError as error:
        raise CannotGoOnError("hub_disk", name=name, detail=error.strerror or type(error).__name__) from error


def fetched_bytes(folder: Path) -> int:
    """What has come so far, parts of files included."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def in_daemon_thread(work: Callable[[], None]) -> None:
    """Await work that may take hours. Its thread does not hold up the end of the process, as a pool's would."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    outcome: Future[None] = Future()

    def run() -> None:
        try:
            work()
            outcome.set_result(None)
        except Exception as error:  # noqa: BLE001 # whoever awaits gets it
            outcome.set_exception(error)
        with suppress(RuntimeError):  # the loop has ended before its thread
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=run, daemon=True, name="fetch").start()
    await ended.wait()
    outcome.result()
