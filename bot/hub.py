"""Fetching a base model from a hub into a folder: only what is needed, and going on where it was broken off.

A process of its own (``python -m bot.hub``): the hub's library fetches in threads that a process waits for at its
end, however long that takes; this one can be killed. What it comes to is told in JSON lines on its standard output:
``{"total": BYTES}``, then nothing more, or ``{"code": ..., "values": ...}`` of a CannotGoOnError, or ``{"bug": ...}``.
"""

import json
import os
import sys
import threading
import traceback
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

from bot.stopping import CannotGoOnError

MODULE = "bot.hub"
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
_ANSWER_S = 30
"""So long may the hub take to answer what is asked first; its library would wait for ever."""


def main(name: str, folder: str, endpoint: str | None = None) -> None:
    """Fetch, and tell on standard output what comes of it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        fetch(name, Path(folder), endpoint=endpoint)
    except CannotGoOnError as error:
        tell(code=error.code, values=error.values)
    except Exception:  # noqa: BLE001  # whoever reads us logs it
        tell(bug=traceback.format_exc())


def fetch(name: str, folder: Path, *, endpoint: str | None = None) -> None:
    """Fetch the model ``name`` (``organisation/model``) into ``folder``; its size is told first.

    Raises CannotGoOnError: ``hub_no_model``, ``hub_closed``, ``hub_unreachable``, ``hub_no_weights``, ``hub_disk``.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    # Of whichever HTTP library the hub's library uses in its version.
    http_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    try:
        siblings = HfApi(endpoint=endpoint).model_info(name, timeout=_ANSWER_S, files_metadata=True).siblings or []
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
        wanted = [file for file in sizes if any(fnmatch(file, pattern) for pattern in NEEDED_FILES)]
        if not any(file.endswith(".safetensors") for file in wanted):
            raise CannotGoOnError("hub_no_weights", name=name)
        tell(total=sum(sizes[file] for file in wanted))
        snapshot_download(name, local_dir=folder, allow_patterns=wanted, endpoint=endpoint)
    except GatedRepoError as error:
        raise CannotGoOnError("hub_closed", name=name) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CannotGoOnError("hub_no_model", name=name) from error
    # A page that is no JSON comes from a proxy or a network's login page, not from the hub.
    except (http_error, LocalEntryNotFoundError, ConnectionError, TimeoutError, json.JSONDecodeError) as error:
        raise CannotGoOnError("hub_unreachable", name=name) from error
    except OSError as error:
        raise CannotGoOnError("hub_disk", name=name, detail=error.strerror or type(error).__name__) from error


def tell(**values: object) -> None:
    """Tell whoever began this process."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Whoever began us holds our standard input open: it ends when that process does, however it was ended."""
    os.read(0, 1)  # not sys.stdin, which cannot be closed at a good end while a thread reads it
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
