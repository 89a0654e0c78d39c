"""The settings, read once from the environment (``TUNESMITH_PORT=9000``) and from ``.env`` of the working folder."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from storage.urls import NotADatabaseUrl, complete_url

PROJECT = Path(__file__).parents[1]
"""The checkout; the two environments stand in it."""

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/(?!\.\.?(/|$))[\w.~+=-]+)*/?")


def _root(given: object) -> object:
    if not isinstance(given, str):
        return given
    if "://" not in given:
        return _absolute(Path(given))
    if not _BUCKET.fullmatch(given):
        raise PydanticCustomError("root", "a folder is meant, or a bucket written as s3://bucket/prefix")
    return given.rstrip("/")


Root = Annotated[Path | str, BeforeValidator(_root)]
"""A folder, or ``s3://bucket/prefix``."""


def _public(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        is_plain = False
    if not is_plain or re.search(r"[\s?#@]", address):
        raise PydanticCustomError(
            "public_url",
            "the address that people reach the server at is meant, as https://tune.example.org: http or https, and "
            "nothing after the path",
        )
    return address.rstrip("/")


PublicUrl = Annotated[str, AfterValidator(_public)]
"""``https://tune.example.org``, with a path where a proxy has one, without a slash at its end."""


def _database_url(given: str) -> str:
    try:
        return complete_url(given)
    except NotADatabaseUrl as error:
        raise PydanticCustomError("database_url", "{sentence}", {"sentence": str(error)}) from None


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""As SQLAlchemy's async engines take it, its driver named."""


def _split(names: object) -> object:
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Written with commas between them."""


def _pairs(labels: object) -> object:
    pairs = _split(labels)
    if not isinstance(pairs, tuple):
        return labels
    if not all(re.fullmatch(r"[\w./-]+=[\w.-]*", pair) for pair in pairs):
        raise PydanticCustomError("labels", "labels are meant, as name=value with commas between them")
    return dict(pair.split("=") for pair in pairs)


Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]
"""Written as ``name=value`` with commas between them."""


class Settings(BaseSettings):
    """Everything that can be set. Each name is an environment variable with ``TUNESMITH_`` before it."""

    model_config = SettingsConfigDict(
        env_prefix="TUNESMITH_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    home: Folder = Field(default=Path("~/.tunesmith"), validate_default=True)
    """Where everything is kept that is not code."""
    host: str = "127.0.0.1"
    """Where the web chat is: of this machine, as it has no accounts."""
    open_endpoint: bool = False
    """Whether other machines may connect: to what knows its callers, which the web chat does not."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0: any free one."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """A second port, open to other machines, with ``/metrics`` and nothing else; none: there is none."""
    public_url: PublicUrl | None = None
    """Where people and programs reach the server, if by another address than its own: that of a proxy or tunnel."""
    database_url: DatabaseUrl = Field(
        default_factory=lambda data: f"sqlite+aiosqlite:///{_home(data) / 'tunesmith.db'}", repr=False
    )
    """Of a SQLite file, or of PostgreSQL: ``postgresql://user:password@host:5432/name``."""
    runs: Literal["local", "kubernetes"] = "local"
    """Where trainings run."""
    artifacts_root: Root = Field(default_factory=lambda data: _home(data) / "artifacts")
    """The root of all files that belong to data sets, runs and models: a folder, or ``s3://bucket/prefix``."""
    kube_context: str | None = None
    """Of the kubeconfig (``KUBECONFIG``); none: its current one, or the account of the pod that this runs in."""
    namespace: str | None = None
    """Of the trainings; none: the context's or the account's own."""
    image: str | None = None
    """Of the trainer."""
    instance: str = "tunesmith"
    """Which Tunesmith it is, on the labels of what it makes: two may share a namespace."""
    artifacts_claim: str | None = None
    """The volume claim that holds ``artifacts_root``, where that is a folder."""
    artifacts_path: str | None = None
    """The root's place on that volume; none: the volume's own root."""
    artifacts_secret: str | None = None
    """The Secret with the bucket's keys, where ``artifacts_root`` is a bucket."""
    kueue_queue: str | None = None
    """Kueue's LocalQueue that trainings wait in."""
    pod_overlay: Path | None = None
    """A YAML file that is merged into the trainings' pods."""
    pod_python: str | None = None
    """The interpreter in the trainer's image, if it is not ``python``."""
    places: Path | None = None
    """A YAML file with several places, or with what has no variable of its own."""
    serving: Literal["local", "kubernetes"] = "local"
    """Where models are served."""
    serving_image: str | None = None
    """Of vLLM, in the cluster."""
    serving_build: Literal["cuda", "cpu"] = "cuda"
    """Which vLLM that image has."""
    serving_pod_python: str | None = None
    """The interpreter in that image, if it is not ``python3``."""
    serving_overlay: Path | None = None
    """A YAML file that is merged into the model servers' pods."""
    serving_queue: str | None = None
    """Kueue's LocalQueue that model servers count against."""
    server_labels: Labels | None = None
    """Of the pod that this runs in; none: it runs outside of the cluster."""
    server_namespace: str | None = None
    """Of that pod; none: the one that models are served in."""
    idle_minutes: float = Field(default=60, ge=0)
    """How long a model server may be asked nothing before it gives back what it computes with; 0: for ever."""
    streams_per_replica: int | None = Field(default=None, ge=1)
    """Answers that one model server gives at once, others wait for a place; none: 8 without a GPU, 64 with one."""
    serving_python: Folder = PROJECT / ".venv-serving" / "bin" / "python"
    """Of the environment that vLLM is in."""
    training_python: Folder = Path(sys.executable)
    """Of the environment that TRL is in."""
    threads: int | None = Field(default=None, ge=1)
    """Cores for a training on this machine; none: all of them."""
    max_upload_bytes: int = Field(default=1 << 30, ge=1)
    """Whatever Slack lets in: its 1 GB, whichever way it is counted."""
    slack_bot_token: SecretStr | None = None
    """``xoxb-``: of the app in one workspace; none where it is installed in several by its install page."""
    slack_app_token: SecretStr | None = None
    """``xapp-``: for Socket Mode, which needs no public address."""
    slack_signing_secret: SecretStr | None = None
    """For HTTP in place of Socket Mode: Slack calls ``/slack/events``."""
    slack_client_id: str | None = None
    """With its secret: for the install page, ``/slack/install``."""
    slack_client_secret: SecretStr | None = None
    slack_admins: Names = ()
    """Ids of people (``U...``) who may start, stop and deploy; none: everyone, unless channels are named."""
    slack_channels: Names = ()
    """Ids of channels (``C...``) in which everyone may."""
    slack_api_url: str | None = None
    """Where Slack's API is, if not at its own address."""
    encryption_keys: SecretStr | None = None
    """Fernet keys with commas between them, the newest first: for tokens in the database."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["human", "json"] = "human"
    """Of the lines on the terminal; the file's are always JSON."""

    @field_validator("artifacts_root")
    @classmethod
    def _within_reach(cls, root: Path | str, info: ValidationInfo) -> Path | str:
        if isinstance(root, str) and info.data.get("runs") == "local":
            raise PydanticCustomError(
                "root", "trainings on this machine need a folder; a bucket goes with TUNESMITH_RUNS=kubernetes"
            )
        return root

    @property
    def is_local(self) -> bool:
        """Whether the host is an address of this machine alone."""
        return self.host in LOCAL_HOSTS

    @property
    def listens_at(self) -> str:
        """The address that is bound: the host's, or every one of its kind."""
        if not self.open_endpoint:
            return self.host
        return "::" if ":" in self.host else "0.0.0.0"

    @property
    def address(self) -> str:
        """What people are told of where the server is; it answers its pages at its own address alone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def endpoint_url(self) -> str:
        """What programs are told of where the OpenAI-compatible endpoint is."""
        return f"{self.address}/v1"

    @property
    def is_bucket(self) -> bool:
        """Whether the artifacts are in a bucket."""
        return "://" in str(self.artifacts_root)

    @property
    def has_slack(self) -> bool:
        """Whether anything of Slack is set."""
        return any((self.slack_bot_token, self.slack_app_token, self.slack_signing_secret, self.slack_client_id))

    @property
    def models_folder(self) -> Path:
        """Base checkpoints that we made, each in a folder of its name."""
        return self.home / "models"

    @property
    def hosts_folder(self) -> Path:
        """What vLLM processes need and say, a folder each."""
        return self.home / "hosts"

    @property
    def cache_folder(self) -> Path:
        """Copies of what a bucket holds. It may be emptied while no server runs."""
        return self.home / "cache" / "artifacts"

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
        """The secret that signs sessions, and that the keys of model servers in a cluster are made from."""
        return self.home / "secret"


def read_settings(**given: Any) -> Settings:
    """The settings; what is ``given`` and not None goes before the environment. Raises pydantic.ValidationError."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _home(data: dict[str, Any]) -> Path:
    home: Path = data["home"]
    return home
