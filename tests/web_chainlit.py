"""Chainlit reads its folder while it is imported: it gets one of its own here. Import this before Chainlit."""

import atexit
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from bot.settings import Settings
from chainlit_app.prepare import prepare

HOME = Path(tempfile.mkdtemp(prefix="tunesmith-web-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
prepare(Settings(home=HOME))
with warnings.catch_warnings():
    # Chainlit's own dependencies are not warning-free.
    warnings.simplefilter("ignore")
    import chainlit.data
    import chainlit.server  # the import is what matters


def forget_data_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process has one Chainlit, which would keep the data layer of an earlier test."""
    monkeypatch.setattr(chainlit.data, "_data_layer_initialized", False)
    monkeypatch.setattr(chainlit.data, "_data_layer", None)
