"""The settings, read once from the environment (``TUNESMITH_PORT=9000``) and from ``.env`` of the working folder."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).parents[1]
"""The checkout; the two environments stand in it."""

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """Everything that can be set. Each name is an environment variable with ``TUNESMITH_`` before it."""

    model_config = SettingsConfigDict(env_prefix="TUNESMITH_", env_file=".env", extra="ignore", frozen=True)

    home: Folder = Field(default=Path("~/.tunesmith"), validate_default=True)
    """Where everything is kept that is not code."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    """0: any free one."""
    database_url: str = Field(default_factory=lambda data: f"sqlite+aiosqlite:///{_home(data) / 'tunesmith.db'}")
    """As SQLAlchemy's async engines take it."""
    artifacts_root: Folder = Field(default_factory=lambda data: _home(data) / "artifacts")
    """The root of all files that belong to data sets, runs and models."""
    serving_python: Folder = PROJECT / ".venv-serving" / "bin" / "python"
    """Of the environment that vLLM is in."""
    training_python: Folder = Path(sys.executable)
    """Of the environment that TRL is in."""
    threads: int | None = Field(default=None, ge=1)
    """Cores for a training on this machine; none: all of them."""
    max_upload_bytes: int = Field(default=1_000_000_000, ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["human", "json"] = "human"
    """Of the lines on the terminal; the file's are always JSON."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return self.host in LOCAL_HOSTS

    @property
    def models_folder(self) -> Path:
        """Base checkpoints that we made, each in a folder of its name."""
        return self.home / "models"

    @property
    def hosts_folder(self) -> Path:
        """What vLLM processes need and say, a folder each."""
        return self.home / "hosts"

    @property
    def web_folder(self) -> Path:
        """Chainlit's own files."""
        return self.home / "web"

    @property
    def log_folder(self) -> Path:
        """Logs, a JSON object a line: ``server.log``, ``terminal.log``."""
        return self.home / "log"

    @property
    def history_path(self) -> Path:
        """What was typed in the terminal."""
        return self.home / "history"

    @property
    def server_lock(self) -> Path:
        """Held by the one server of this home."""
        return self.home / "server.lock"

    @property
    def loops_lock(self) -> Path:
        """Held by the one process that makes the world match the database."""
        return self.home / "loops.lock"

    @property
    def secret_path(self) -> Path:
        """The key that signs sessions."""
        return self.home / "secret"


def read_settings(**given: Any) -> Settings:
    """The settings; what is ``given`` and not None goes before the environment. Raises pydantic.ValidationError."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _home(data: dict[str, Any]) -> Path:
    home: Path = data["home"]
    return home
