"""The home's own secret: it signs sessions, and the keys of model servers are made from it."""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


def read_secret(path: Path) -> str:
    """The secret, made at the first start and readable by its owner alone.

    An empty file is none: whoever made it was killed, or is about to write.
    """
    with suppress(FileNotFoundError):
        if secret := path.read_text(encoding="ascii"):
            return secret
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="ascii") as file:
        # Of several that start together, the first one makes it and the others read it.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        secret = file.read()
        if not secret:
            secret = secrets.token_urlsafe(48)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        return secret
