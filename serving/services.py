"""The port to model servers, and its errors.

::

    ServingError
    ├── AdapterRefused      the server, or our own check, will never serve this adapter
    ├── NotProven           what is served is not what was trained, or its answers never end
    ├── AdapterMissing      the server does not have this adapter (yet): load it, then ask again
    ├── ChatTooLong         the newest message, or what is asked for, does not fit the context
    ├── ChatRefused         the server does not take this request as it is
    └── ServerUnavailable   the server does not answer (yet): try again later
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
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


class NotProven(ServingError):
    """The service is not what was trained: ``parity.differs``, ``parity.refused``; or it does not end its answers:
    ``proof.endless`` (after ``tokens``).

    What fills the sentence may be tokens of a data row: a person may read it in their thread, a log must not have it.
    """

    def __str__(self) -> str:
        return self.code


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
    """Tuned models that it is started for. On a CPU it holds no more; on a GPU more take turns: the server swaps them
    in from their folders."""
    dtype: str | None = None
    """None: float32 on a CPU, the checkpoint's own on a GPU."""
    gpus: int = 0
    """Of one replica: the model is split among them."""
    place: str = ""
    """Where it runs, by name, of the places that can be chosen from; empty: there is no choice."""
    artifact: str | None = None
    """Where ``base_model`` lies below the artifact root, if it does."""
    weights_bytes: int = 0
    """Of the checkpoint; 0: not known."""
    cpu: int | None = None
    """Cores of one replica; None: what suits the model. On this machine it takes what there is."""
    memory_gib: int | None = None
    """Main memory of one replica; None: what suits the model."""
    gpu_product: str | None = None
    """The kind of card, as the place's nodes are labelled; None: any."""
    instances: int = 1
    """Replicas, where there is more than one machine."""
    queue: str | None = None
    """The quota it counts against: Kueue's LocalQueue."""
    arguments: tuple[str, ...] = ()
    """More arguments for vLLM (``serving.arguments`` says which are refused)."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What people may look for in the cluster: labels (``base``, ``owner``)."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and how a host's replica is spoken to. ``api_key`` and ``headers`` are secret: never logged or shown."""

    base_url: str
    """Without ``/v1``."""
    api_key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    """Of an ``https`` address."""

    def __repr__(self) -> str:
        return f"Address(base_url={self.base_url!r})"


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One vLLM of a host that answers."""

    name: str
    """Of the pod; empty on this machine."""
    address: Address
    adapters: frozenset[str] = frozenset()
    """Ids of the tuned models that are loaded."""
    template: str = ""
    """Which of the host's templates its pod was made from; empty on this machine."""
    is_current: bool = True
    """Whether that is the host's template now; others are about to be replaced: nothing is loaded there any more."""


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """What was found of a host."""

    state: HostState
    """Ready as soon as one replica answers."""
    replicas: tuple[Replica, ...] = ()
    """Those that answer, sorted by name; more than none exactly when the state is ready."""
    reason: str | None = None
    """Of a failed one: the log's telling line, or one of ``killed``, ``silent``, ``slow_start`` (text ``host.<code>``)
    where the log has none."""
    waiting: str | None = None
    """Of one that starts: the code of what it waits for (text ``host.waiting.<code>``)."""
    words: str = ""
    """The scheduler's or the kubelet's own words of that."""

    @property
    def address(self) -> Address | None:
        """Of the first replica."""
        return self.replicas[0].address if self.replicas else None

    @property
    def adapters(self) -> frozenset[str]:
        """Ids of the tuned models that every replica has."""
        return (
            frozenset.intersection(*(replica.adapters for replica in self.replicas)) if self.replicas else frozenset()
        )

    def having(self, model_id: str | None) -> tuple[Replica, ...]:
        """The replicas that have a tuned model; None: the base model, which all have."""
        return tuple(one for one in self.replicas if model_id is None or model_id in one.adapters)


@dataclass(frozen=True, kw_only=True)
class AdapterRef:
    """An adapter to load. Its name in vLLM is the immutable id of its model."""

    model_id: str
    folder: str
    """Absolute path. It must stay: the server reads it again when it swaps adapters."""
    artifact: str | None = None
    """Where it lies below the artifact root, if it does: what pods are told."""


class ModelServer(Protocol):
    """Runs vLLM somewhere. Every call is safe to repeat."""

    def start(self, host: HostSpec) -> None:
        """Start it, or leave the running one as it is; a failed one, or one of another spec, is started anew.

        Raises ServerUnavailable.
        """

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts that are ours, by id, in one go; a stopped one is missing."""

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter onto every replica; where it is loaded it is left.

        Raises AdapterRefused, ServerUnavailable.
        """

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter from every replica; where it is not loaded nothing happens. Raises ServerUnavailable."""

    def rest(self, host: str) -> None:
        """Give back what it computes with; ``start`` wakes it. One that rests, or is not there, is left.

        Raises ServerUnavailable.
        """

    def stop(self, host: str) -> None:
        """Stop it and everything it started; a stopped one is left. Raises ServerUnavailable."""
