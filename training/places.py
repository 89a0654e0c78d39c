"""Where a cluster's jobs run, and what they may use there: one place is one namespace of one cluster."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""As Kubernetes names things: lower case letters, digits and ``-``, at most 63."""

GIB = 2**30


class Cards(BaseModel):
    """The GPUs of a place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: str = "nvidia.com/gpu"
    """What a pod asks for."""
    products: tuple[str, ...] = ()
    """Wanted values of ``product_label``; none: any card will do."""
    product_label: str = "nvidia.com/gpu.product"
    """The label of a node that names its cards."""
    per_node: Annotated[int, Field(ge=0)] = 8
    """How many one node has."""
    memory_gib: Annotated[float, Field(gt=0)] = 80
    """Of one card."""
    has_bf16: bool = True
    """Whether they compute in bfloat16 (Ampere and later)."""


class ServingPlace(BaseModel):
    """How models are served in a place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Annotated[str, Field(min_length=1)]
    """Of vLLM."""
    build: Literal["cuda", "cpu"] = "cuda"
    """Which vLLM that image has."""
    python: str = "python3"
    """The interpreter in that image."""
    gpus: Annotated[int, Field(ge=0)] = 1
    """Cards of a replica, where nothing else is asked for; the CPU build takes none."""
    queue: Name | None = None
    """Kueue's LocalQueue for model servers."""
    peers: tuple[Json, ...] = ()
    """Who else may reach the replicas (NetworkPolicyPeer), besides the server's own pod: the API server, where the
    server runs outside and the network enforces policies."""
    server_labels: dict[str, str] | None = None
    """Of the pod that the server runs in; None: it runs outside of the cluster."""
    server_namespace: Name | None = None
    """The namespace of that pod; None: the place's own."""
    weights_claim: Name | None = None
    """A volume claim for weights fetched from a bucket, kept between two starts; None: fetched each time."""
    pod_overlay: Json = Field(default_factory=dict)
    """Merged into the pod template (``metadata``, ``spec``)."""


class ClusterPlace(BaseModel):
    """A namespace for trainings. Names of Secrets and claims are of that namespace; no secret itself stands here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = "cluster"
    """What people call it."""
    kubeconfig: Path | None = None
    """None: the environment's (``KUBECONFIG``), else the account of the pod that this runs in."""
    context: str | None = None
    """Of the kubeconfig; none: its current one."""
    namespace: Name | None = None
    """None: the context's or the account's own."""
    instance: Name = "tunesmith"
    """Which Tunesmith it is: two of them may share a namespace."""
    image: Annotated[str, Field(min_length=1)]
    """Of the trainer."""
    python: str = "python"
    """The interpreter in that image."""
    claim: Name | None = None
    """The volume claim with the artifacts, where their root is a folder."""
    claim_path: str = ""
    """The artifact root's place on that volume; empty: the volume's own root."""
    bucket_secret: Name | None = None
    """The Secret with ``AWS_ACCESS_KEY_ID`` and the like, where the root is a bucket."""
    queue: Name | None = None
    """Kueue's LocalQueue."""
    priority_class: Name | None = None
    pull_secrets: tuple[Name, ...] = ()
    tolerations: tuple[Json, ...] = ()
    cards: Cards = Cards()
    node_cpu: Annotated[int, Field(ge=1)] = 16
    """Cores that a pod can have on one node: for advice."""
    node_memory_gib: Annotated[int, Field(ge=1)] = 64
    """Main memory that a pod can have on one node: for advice."""
    packages: tuple[str, ...] = ()
    """Optional packages that the image has (``training.machine.OPTIONAL_PACKAGES``)."""
    user_id: Annotated[int, Field(ge=1)] = 1000
    """User and group of the pods: the server's, where both write to one volume."""
    deadline_hours: Annotated[float, Field(gt=0)] | None = None
    """None: a run may take as long as it takes."""
    grace_s: Annotated[int, Field(ge=1)] = 600
    """How long a step and a save may take when a pod has to go."""
    keep_hours: Annotated[float, Field(ge=1)] = 168
    """How long the cluster keeps an ended Job, for us and for people who look there: what the cluster saw of an end
    goes with it."""
    pending_minutes: Annotated[float, Field(gt=0)] = 120
    """How long a pod may find no node, or not be made there, before the run fails; a queue does not count."""
    image_minutes: Annotated[float, Field(gt=0)] = 5
    """How long an image may fail to come before the run fails, from its first failure on."""
    pod_overlay: Json = Field(default_factory=dict)
    """Merged into the pod template (``metadata``, ``spec``)."""
    serving: ServingPlace | None = None
    """How models are served there; None: they are served on the server's machine."""
