"""Opens the store of an artifact root: a folder, or a bucket with its keys and endpoint from the environment.

Keys, region and endpoint of a bucket are the usual ``AWS_*`` variables, as obstore reads them. With an endpoint of its
own a bucket is named in the path, not in the host's name.
"""

import os
from datetime import timedelta
from pathlib import Path

from obstore.store import LocalStore, ObjectStore, from_url

READ_TIMEOUT = timedelta(seconds=30)
"""For a connection that says nothing any more."""
REQUEST_TIMEOUT = timedelta(days=1)
"""obstore's own 30 seconds hold for a whole file: a large one on a slow line would never come."""


def local_root(root: str | Path) -> Path | None:
    """The folder that ``root`` is (a path or ``file:///...``), if it is one."""
    text = str(root)
    return None if "://" in text and not text.startswith("file://") else Path(text.removeprefix("file://"))


def open_store(root: str | Path, *, patience: timedelta) -> ObjectStore:
    """The store of ``root``; its folder is made, nothing else is looked at yet.

    ``patience``: how long a request to a bucket is tried again.
    """
    folder = local_root(root)
    if folder is not None:
        return LocalStore(folder, mkdir=True)
    if not str(root).startswith("s3://"):
        return from_url(str(root))
    return from_url(
        str(root),
        client_options={"allow_http": _is_plain_http(), "timeout": REQUEST_TIMEOUT, "read_timeout": READ_TIMEOUT},
        retry_config={"max_retries": 20, "retry_timeout": patience},
    )


def _is_plain_http() -> bool:
    """Whether the endpoint is given as ``http://``: obstore wants to be told that this is meant."""
    endpoints = (os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
    return next(filter(None, endpoints), "").startswith("http://")
