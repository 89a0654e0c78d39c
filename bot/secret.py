"""The home's own secret: it signs sessions, and the keys of model servers are made from it."""

import secrets
from pathlib import Path


def read_secret(path: Path) -> str:
    """The secret, made at the first start and readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48), encoding="ascii")
    return path.read_text(encoding="ascii")
