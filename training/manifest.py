"""An attempt -> the Kubernetes objects that run it, as plain data. Nothing is sent from here.

A headless Service and an Indexed Job with one pod a machine; the Job owns the Service, so that deleting it deletes all.
A gang is retried as a whole, by us, as the next attempt: the Job never retries a rank of its own accord. One code is
passed over: a pod that was interrupted is made again, and the gang goes on from its checkpoint.
"""

from collections.abc import Mapping

from training.overlay import merge
from training.places import ClusterPlace, Json
from training.pods import (
    ARTIFACTS_PATH,
    CONTAINER_SECURITY,
    MANAGER,
    QUEUE_LABEL,
    WORK_PATH,
    artifacts_mount,
    artifacts_volume,
    bucket_keys,
    common_labels,
    label_value,
    pod_security,
    scheduling,
    working_mounts,
    working_volumes,
)
from training.runs import Attempt, AttemptId
from training.spec import TrainingSpec
from training.trainer.exits import Exit
from training.trainer.gang import MASTER_PORT
from training.trainer.pod import MODULE

COMPONENT = "training"
CONTAINER = "trainer"
RUN_LABEL = "tunesmith/run"
ATTEMPT_LABEL = "tunesmith/attempt"


def job_name(attempt: AttemptId) -> str:
    """The one name of an attempt's Job and Service: the same attempt is never there twice."""
    return f"{MANAGER}-{attempt.run_id}-{attempt.number}"


def attempt_of(labels: Mapping[str, str]) -> AttemptId:
    """The attempt that an object of ours belongs to."""
    return AttemptId(labels[RUN_LABEL], int(labels[ATTEMPT_LABEL]))


def selector(place: ClusterPlace) -> str:
    """The label selector of everything that this Tunesmith trains there."""
    own = common_labels(place, COMPONENT)
    return ",".join(f"{name}={value}" for name, value in own.items())


def job(attempt: Attempt, place: ClusterPlace, *, bucket: str | None) -> Json:
    """The Job. ``bucket``: the artifact root's URL; none: the root is a folder, on the place's volume claim."""
    spec = attempt.spec
    queue = {QUEUE_LABEL: place.queue} if place.queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(attempt, place, **queue),
        "spec": {
            "completionMode": "Indexed",
            "completions": spec.nodes,
            "parallelism": spec.nodes,
            "backoffLimit": 0,
            **({"suspend": True} if place.queue else {}),
            **({"activeDeadlineSeconds": round(place.deadline_hours * 3600)} if place.deadline_hours else {}),
            "ttlSecondsAfterFinished": round(place.keep_hours * 3600),
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": _template(attempt, place, bucket),
        },
    }


def service(attempt: Attempt, place: ClusterPlace, *, owner: Json) -> Json:
    """The headless Service by which the pods find the first of them; ``owner`` is the Job as the cluster has it."""
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_metadata(attempt, place), "ownerReferences": [reference]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"job-name": job_name(attempt.id)},
            "ports": [{"name": "rendezvous", "port": MASTER_PORT}],
        },
    }


def example_attempt(spec: TrainingSpec, *, name: str = "example", about: Mapping[str, str] | None = None) -> Attempt:
    """One that nobody has asked for, to see what would be sent of it."""
    return Attempt(
        id=AttemptId(name, 1),
        spec=spec,
        base_model=f"artifact:bases/{name}",
        dataset=f"datasets/{name}",
        columns={},
        fills={},
        model=f"models/{name}",
        about=about or {},
    )


def _metadata(attempt: Attempt, place: ClusterPlace, **more: str) -> Json:
    return {
        "name": job_name(attempt.id),
        "labels": {**_labels(attempt, place), **more},
        "annotations": {f"tunesmith/{name}": value for name, value in attempt.about.items()},
    }


def _labels(attempt: Attempt, place: ClusterPlace) -> dict[str, str]:
    about = {f"tunesmith/{name}": label_value(value) for name, value in attempt.about.items()}
    own = {RUN_LABEL: attempt.id.run_id, ATTEMPT_LABEL: str(attempt.id.number)}
    return {"app.kubernetes.io/name": "tunesmith-trainer", **common_labels(place, COMPONENT), **about, **own}


def _failure_rules() -> list[Json]:
    return [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [int(Exit.INTERRUPTED)]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [int(Exit.INTERRUPTED)]}},
    ]


def _template(attempt: Attempt, place: ClusterPlace, bucket: str | None) -> Json:
    pod = {
        "metadata": {"labels": _labels(attempt, place)},
        "spec": {
            "subdomain": job_name(attempt.id),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": place.grace_s,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security(place),
            **scheduling(place, needs_card=attempt.spec.gpus_per_node > 0),
            **_spreading(attempt),
            "containers": [_container(attempt, place, bucket)],
            "volumes": _volumes(attempt, place, bucket),
        },
    }
    return merge(pod, place.pod_overlay)


def _spreading(attempt: Attempt) -> Json:
    if attempt.spec.nodes == 1:
        return {}
    # The parameter says machines: where there are several, they are used.
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"job-name": job_name(attempt.id)}},
    }
    return {"topologySpreadConstraints": [constraint]}


def _container(attempt: Attempt, place: ClusterPlace, bucket: str | None) -> Json:
    spec, name = attempt.spec, job_name(attempt.id)
    root = WORK_PATH if bucket else ARTIFACTS_PATH
    command = [place.python, "-m", MODULE, root, attempt.id.run_id, str(attempt.id.number)]
    command += [f"--nodes={spec.nodes}", "--node=$(JOB_COMPLETION_INDEX)", f"--master={name}-0.{name}"]
    amounts: dict[str, str] = {"cpu": str(spec.cpu), "memory": f"{spec.memory_gib}Gi"}
    if spec.gpus_per_node:
        amounts[place.cards.resource] = str(spec.gpus_per_node)
    mounts = working_mounts()
    secrets: list[Json] = []
    if bucket:
        command.append(f"--bucket={bucket}")
        secrets = bucket_keys(place)
    else:
        mounts.append(artifacts_mount(place))
    return {
        "name": CONTAINER,
        "image": place.image,
        "command": command,
        "env": [{"name": "HOME", "value": WORK_PATH}, {"name": "TMPDIR", "value": WORK_PATH}],
        **({"envFrom": secrets} if secrets else {}),
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }


def _volumes(attempt: Attempt, place: ClusterPlace, bucket: str | None) -> list[Json]:
    volumes = working_volumes(shared_memory_gib=max(1, attempt.spec.memory_gib // 2))
    return volumes if bucket else [*volumes, artifacts_volume(place)]
