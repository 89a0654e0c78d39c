"""The port to model servers, and its errors.

::

    ServingError
    ├── AdapterRefused      the server, or our own check, will never serve this adapter
    ├── AdapterMissing      the server does not have this adapter (yet): load it, then ask again
    ├── ChatTooLong         the newest message, or what is asked for, does not fit the context
    ├── ChatRefused         the server does not take this request as it is
    └── ServerUnavailable   the server does not answer (yet): try again later
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from storage.states import HostState


class ServingError(Exception):
    """A model server could not do it. ``code`` is the id of its sentence in the texts, ``params`` fill it."""

    def __init__(self, code: str, **params: str | int | float) -> None:
        self.code = code
        self.params: Mapping[str, str | int | float] = params
        super().__init__(" ".join((code, *(f"{name}={value}" for name, value in params.items()))))


class AdapterRefused(ServingError):
    """This adapter cannot be served: ``adapter.<problem>``, or ``serving.adapter_refused`` with ``detail``."""


class AdapterMissing(ServingError):
    """``serving.adapter_missing``: the server does not have the ``model``."""


class ChatTooLong(ServingError):
    """``serving.chat_too_long``: ``tokens`` do not fit the ``limit``."""


class ChatRefused(ServingError):
    """``serving.chat_refused``: the server's reason is ``detail``."""


class ServerUnavailable(ServingError):
    """The model server does not answer: ``serving.unavailable``, ``serving.slow`` (after ``seconds``); or cannot be
    started or stopped: ``serving.not_started``, ``serving.not_stopped`` (with ``detail``)."""


@dataclass(frozen=True, kw_only=True)
class HostSpec:
    """A vLLM server that is wanted."""

    id: str
    base_model: str
    """A folder with the checkpoint (absolute path)."""
    base_name: str
    """The name under which requests ask for the base model."""
    context_tokens: int
    """``--max-model-len``; also what a chat's history is trimmed to."""
    max_lora_rank: int = 16
    """The server is started with the next larger rank that vLLM knows."""
    max_loras: int = 4
    """Adapters that compute at once. More can be loaded: the server swaps them in from their folders."""
    dtype: str | None = None
    """None: float32 on a CPU, the checkpoint's own on a GPU."""
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and how a host is spoken to. ``api_key`` is a secret: never logged, never shown."""

    base_url: str
    """Without ``/v1``."""
    api_key: str

    def __repr__(self) -> str:
        return f"Address(base_url={self.base_url!r})"


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """What was found of a host."""

    state: HostState
    address: Address | None = None
    """Set when the state is ready."""
    adapters: frozenset[str] = frozenset()
    """Ids of the tuned models that are loaded."""
    reason: str | None = None
    """Of a failed one: the log's telling line, or one of ``killed``, ``silent``, ``slow_start`` (text ``host.<code>``)
    where the log has none."""


@dataclass(frozen=True, kw_only=True)
class AdapterRef:
    """An adapter to load. Its name in vLLM is the immutable id of its model."""

    model_id: str
    folder: str
    """Absolute path. It must stay: the server reads it again when it swaps adapters."""


class ModelServer(Protocol):
    """Runs vLLM somewhere. Every call is safe to repeat."""

    def start(self, host: HostSpec) -> None:
        """Start it, or leave the running one as it is; a failed one, or one of another spec, is started anew.

        Raises ServerUnavailable.
        """

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts that are ours, by id, in one go; a stopped one is missing."""

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter; a loaded one is left. Raises AdapterRefused, ServerUnavailable."""

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter; one that is not loaded is left. Raises ServerUnavailable."""

    def stop(self, host: str) -> None:
        """Stop it and everything it started; a stopped one is left. Raises ServerUnavailable."""
