"""The port to model servers, and its errors.

::

    ServingError
    ├── AdapterRefused      the server, or our own check, will not serve this adapter; the reason is the message
    └── ServerUnavailable   the server does not answer (yet)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from storage.states import HostState


class ServingError(Exception):
    """A model server could not do it."""


class AdapterRefused(ServingError):
    """This adapter cannot be served."""


class ServerUnavailable(ServingError):
    """The model server does not answer."""


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
    max_loras: int = 4
    dtype: str | None = None
    """None: float32 on a CPU, the checkpoint's own on a GPU."""
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and how a host is spoken to. ``api_key`` is a secret: never logged, never shown."""

    base_url: str
    """Without ``/v1``."""
    api_key: str


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """What was found of a host."""

    state: HostState
    address: Address | None = None
    """Set when the state is ready."""
    adapters: frozenset[str] = frozenset()
    """Ids of the tuned models that are loaded."""
    reason: str | None = None
    """Of a failed one: the log's telling line."""


@dataclass(frozen=True, kw_only=True)
class AdapterRef:
    """An adapter to load. Its name in vLLM is the immutable id of its model."""

    model_id: str
    folder: str
    """Absolute path."""


class ModelServer(Protocol):
    """Runs vLLM somewhere. Every call is safe to repeat."""

    def start(self, host: HostSpec) -> None:
        """Start it, or leave the running one as it is; a failed one is started anew."""

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts that are ours, by id, in one go; a stopped one may be missing."""

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter; a loaded one is left. Raises AdapterRefused, ServerUnavailable."""

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter; one that is not loaded is left."""

    def stop(self, host: str) -> None:
        """Stop it and everything it started; a stopped one is left."""
