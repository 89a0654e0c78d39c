"""Runs on a Kubernetes cluster: each attempt is a Job of its own name, and what is known of it is watched.

Requests to the API server do not grow with the number of runs: one watch of the Jobs, one of their pods. Progress and
logs are files of the artifact root, read for a bounded number of attempts a second.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import stamina
import structlog

from storage.artifact_errors import ArtifactError
from storage.files import ArtifactFiles, give_to
from storage.states import RunState
from training import verdicts
from training.answers import Answers
from training.base_copies import BaseCopies
from training.cluster import Cluster, ClusterError, Conflict, Forbidden, Invalid, Json, Missing, since
from training.manifest import attempt_of, job, job_name, selector, service
from training.places import ClusterPlace
from training.reading import ProgressReader, folder_of, key, read_log, read_outcome, read_request
from training.runs import (
    Attempt,
    AttemptId,
    AttemptStatus,
    BackendUnavailable,
    NoCapacity,
    Refused,
)
from training.trainer import request
from training.verdicts import STOP_ANNOTATION, Verdict
from training.watching import Watched

log = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=5)
"""With a bucket that does not answer: the next look is a second away."""
SECONDS_BEFORE_WARNINGS = 3
"""How long a Job may be without a pod before its warnings are asked for."""
SECONDS_BEFORE_MAKING_WARNINGS = 20
"""How long a pod may be without a container before its warnings are asked for."""
MOST_ENDS_A_LOOK = 20
"""How many attempts' ends are read in one look, those of the newest first."""
KUEUE_API = "kueue.x-k8s.io/v1beta2"
KUEUE_JOB_LABEL = "kueue.x-k8s.io/job-uid"


class KubernetesRuns:
    """Implements :class:`training.runs.RunBackend` with Jobs of one place."""

    def __init__(self, place: ClusterPlace, artifacts_root: str | Path) -> None:
        """Raises training.cluster.Unreachable where there is no way to any API server."""
        self.place = place
        self.cluster = Cluster(place)
        self._files = ArtifactFiles(artifacts_root, patience=PATIENCE)
        self._bucket = None if self._files.folder is not None else self._files.root
        self._jobs = Watched(self.cluster, self.cluster.path("batch/v1", "jobs"), labels=selector(place))
        self._pods = Watched(self.cluster, self.cluster.path("v1", "pods"), labels=selector(place))
        self._bases = BaseCopies(self._files, user_id=place.user_id)
        self._ended: dict[AttemptId, AttemptStatus] = {}
        self._image_fails_since: dict[AttemptId, float] = {}
        """By the monotonic clock; the next server counts anew."""
        self._progress = ProgressReader(self._files)
        self._warnings = Answers(self._ask_warnings)
        self._making_words = Answers(self._ask_making_warnings)
        self._queue_words = Answers(self._ask_queue)

    def close(self) -> None:
        """End the watches. The Jobs go on."""
        self._jobs.close()
        self._pods.close()
        self._bases.close()
        self.cluster.close()

    # The port

    def submit(self, attempt: Attempt) -> None:
        """Send the Job and its Service; what is there already stays.

        Raises Preparing, NoCapacity where a quota is used up, Refused, BackendUnavailable.
        """
        try:
            attempt = self.prepare(attempt)
            self._end_earlier(attempt.id)
            self._write_request(attempt)
            found = self._create(attempt)
        except (Invalid, Forbidden) as error:
            raise (NoCapacity if verdicts.is_for_quota(str(error)) else Refused)(str(error)) from error
        except (ClusterError, ArtifactError, OSError) as error:
            raise BackendUnavailable(str(error)) from error
        self._jobs.put(found)

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        """All Jobs of ours. Raises BackendUnavailable."""
        try:
            jobs, pods = self._jobs.objects(), _by_attempt(self._pods.objects().values())
        except ClusterError as error:
            raise BackendUnavailable(str(error)) from error
        found = {attempt_of(each["metadata"]["labels"]): each for each in jobs.values()}
        for forgotten in self._ended.keys() - found.keys():
            self._ended.pop(forgotten, None)
            self._image_fails_since.pop(forgotten, None)
        later = self._read_later(found)
        try:
            self._progress.read_some([each for each in found if each not in self._ended and each not in later])
            return {
                id_: _NOT_READ if id_ in later else self._status(id_, each, pods.get(id_, []))
                for id_, each in found.items()
            }
        except ArtifactError as error:
            raise BackendUnavailable(str(error)) from error

    def cancel(self, attempt: AttemptId) -> None:
        """Leave the wish where the pods look for it, and have the cluster send them SIGTERM."""
        try:
            found = self._jobs.objects().get(job_name(attempt))
            if found is None or verdicts.is_finished(found) or verdicts.is_stopped(found):
                return
            self._files.write(key(folder_of(attempt).stop), b"")
            # A deadline that has passed ends the pods, with their grace, and leaves the Job to be looked at.
            # While a Job is held back, its deadline rests: it counts from the moment in which the queue lets it go.
            annotations = {STOP_ANNOTATION: "wanted"}
            change: Json = {"metadata": {"annotations": annotations}, "spec": {"activeDeadlineSeconds": 1}}
            self._jobs.put(self.cluster.patch(self._job_path(attempt), change))
        except Missing:
            return
        except (ClusterError, ArtifactError, OSError) as error:
            raise BackendUnavailable(str(error)) from error

    def logs(self, attempt: AttemptId, *, last_lines: int, node: int = 0) -> Iterator[str]:
        """The last lines of what a machine printed: from its file, else from its pod. Raises BackendUnavailable."""
        if last_lines <= 0:
            return
        try:
            lines = read_log(self._files, attempt, last_lines=last_lines, node=node)
        except ArtifactError as error:
            raise BackendUnavailable(str(error)) from error
        yield from lines or self._pod_log(attempt, last_lines, node)

    def release(self, attempt: AttemptId) -> None:
        """Delete a Job that has not ended by itself: its pods may stand on a node that is dead."""
        try:
            found = self._jobs.objects().get(job_name(attempt))
            if found is None or not verdicts.is_finished(found):
                # Its pods may be there without it: a request that was to delete them too has failed.
                self._delete_job(attempt, is_there=found is not None)
        except ClusterError as error:
            raise BackendUnavailable(str(error)) from error

    def delete(self, attempt: AttemptId) -> None:
        """Delete the Job, all that it owns, and the attempt's files; the last attempt takes the run's files along."""
        try:
            self._delete_job(attempt)
            self._delete_files(attempt)
        except (ClusterError, ArtifactError, OSError) as error:
            raise BackendUnavailable(str(error)) from error
        self._ended.pop(attempt, None)
        self._progress.forget(attempt)

    # Submitting

    def prepare(self, attempt: Attempt) -> Attempt:
        """The attempt as the pods understand it, its base model where they find it. Raises Preparing."""
        return replace(attempt, base_model=self._bases.artifact(attempt.base_model))

    def _end_earlier(self, attempt: AttemptId) -> None:
        """A gang is retried whole: what is left of the one before goes first, for it writes to the same folder."""
        for number in range(1, attempt.number):
            self.release(AttemptId(attempt.run_id, number))

    def _write_request(self, attempt: Attempt) -> None:
        folder = folder_of(attempt.id)
        self._files.write(key(folder.request), request.to_json(attempt))
        if self._files.folder is not None:
            root = self._files.folder
            run, own = root / "runs" / attempt.id.run_id, root / key(folder.path)
            model = root / attempt.model
            for path in (model.parent, run / "checkpoints"):
                path.mkdir(parents=True, exist_ok=True)
            give_to([run, run / "checkpoints", own, model.parent], self.place.user_id)

    def _create(self, attempt: Attempt) -> Json:
        found, is_new = self._make("batch/v1", "jobs", job(attempt, self.place, bucket=self._bucket))
        try:
            self._make("v1", "services", service(attempt, self.place, owner=found))
        except (Invalid, Forbidden):
            if is_new:
                # Without its Service it would wait for ever.
                self._jobs.delete(job_name(attempt.id))
            raise
        return found

    def _make(self, group: str, plural: str, body: Json) -> tuple[Json, bool]:
        """Create an object, and whether it is new; one of its name stays, whatever a quota says of a second by now."""
        try:
            return self.cluster.create(self.cluster.path(group, plural), body), True
        except (Conflict, Forbidden, Invalid):
            with suppress(Missing):
                return self.cluster.get(self.cluster.path(group, plural, body["metadata"]["name"])), False
            raise

    def _delete_job(self, attempt: AttemptId, *, is_there: bool = True) -> None:
        # In this order: a Job makes new pods.
        if is_there:
            self._jobs.delete(job_name(attempt))
        for name, pod in self._pods.objects().items():
            if attempt_of(pod["metadata"]["labels"]) == attempt:
                self.cluster.delete(self.cluster.path("v1", "pods", name), grace_s=0)

    # A container takes a moment to die after its pod is gone, and may write until then.
    @stamina.retry(on=OSError, timeout=15, wait_initial=0.2)
    def _delete_files(self, attempt: AttemptId) -> None:
        self._files.delete(key(folder_of(attempt).path))
        run = key(folder_of(attempt).path.parent)
        if not any(each.startswith(f"{run}/attempt-") for each in self._files.sizes(run)):
            self._files.delete(run)

    # Looking

    def _read_later(self, found: Mapping[AttemptId, Json]) -> frozenset[AttemptId]:
        """Ended attempts whose files are for a later look: a server begins with all those of the last week."""
        unread = [id_ for id_, each in found.items() if id_ not in self._ended and verdicts.is_finished(each)]
        unread.sort(key=lambda id_: str(found[id_]["metadata"]["creationTimestamp"]), reverse=True)
        return frozenset(unread[MOST_ENDS_A_LOOK:])

    def _status(self, attempt: AttemptId, found: Json, pods: Sequence[Json]) -> AttemptStatus:
        if (known := self._ended.get(attempt)) is not None:
            return known
        if not verdicts.is_over(found, pods):
            verdict = self._under_way(attempt, found, pods)
            if not verdict.state.is_final:
                progress = self._progress.joined(attempt)
                return AttemptStatus(state=verdict.state, progress=progress, waiting=verdict.waiting)
        else:
            outcomes = [read_outcome(self._files, attempt, node) for node in range(found["spec"]["completions"])]
            verdict = verdicts.ended(found, pods, outcomes)
        self._progress.read([attempt])
        status = AttemptStatus(
            state=verdict.state,
            progress=self._progress.joined(attempt),
            reason=verdict.reason,
            detail=verdict.detail,
            has_model=self._has_model(attempt),
        )
        self._ended[attempt] = status
        return status

    def _under_way(self, attempt: AttemptId, found: Json, pods: Sequence[Json]) -> Verdict:
        uid, is_held = found["metadata"]["uid"], bool(found["spec"].get("suspend"))
        age_s = since(found["metadata"]["creationTimestamp"])
        if not pods and not is_held and age_s > SECONDS_BEFORE_WARNINGS:
            verdict = verdicts.refused(found, self._warnings.get(uid, ()))
            if verdict is not None:
                return verdict
        words = self._queue_words.get(uid, ()) if is_held and self.place.queue else ()
        return verdicts.under_way(
            found,
            pods,
            self.place,
            has_begun=self._progress.has_begun(attempt),
            queue_words=" ".join(words),
            making_words=self._words_of_making(pods),
            image_failing_s=self._image_failing_s(attempt, pods),
        )

    def _image_failing_s(self, attempt: AttemptId, pods: Sequence[Json]) -> float:
        """For how long an image has not come: a large one may take its time, and break off once."""
        if not verdicts.fails_to_fetch(pods):
            self._image_fails_since.pop(attempt, None)
            return 0
        now = time.monotonic()
        return now - self._image_fails_since.setdefault(attempt, now)

    def _ask_warnings(self) -> Iterator[tuple[str, str]]:
        """Of all Jobs of the namespace whose pods were refused: uid and words."""
        path = self.cluster.path("v1", "events")
        for event in self.cluster.get(path, fieldSelector="type=Warning,reason=FailedCreate")["items"]:
            yield event["involvedObject"].get("uid", ""), event.get("message", "")

    def _words_of_making(self, pods: Sequence[Json]) -> str:
        for pod in verdicts.unmade(pods, for_s=SECONDS_BEFORE_MAKING_WARNINGS):
            for words in self._making_words.get(pod["metadata"]["uid"], ()):
                return " ".join(words.split())
        return ""

    def _ask_making_warnings(self) -> Iterator[tuple[str, str]]:
        """Of all pods of the namespace that their nodes cannot make: uid and words."""
        path = self.cluster.path("v1", "events")
        for event in self.cluster.get(path, fieldSelector="type=Warning,involvedObject.kind=Pod")["items"]:
            if verdicts.is_of_making(event):
                yield event["involvedObject"].get("uid", ""), event.get("message", "")

    def _ask_queue(self) -> Iterator[tuple[str, str]]:
        """Of all Jobs of the namespace that Kueue holds back: uid and words."""
        for workload in self.cluster.get(self.cluster.path(KUEUE_API, "workloads"))["items"]:
            uid = workload["metadata"].get("labels", {}).get(KUEUE_JOB_LABEL, "")
            for words in verdicts.queue_words(workload):
                yield uid, words

    def _has_model(self, attempt: AttemptId) -> bool:
        asked = read_request(self._files, attempt)
        return asked is not None and self._files.is_complete(asked.model)

    def _pod_log(self, attempt: AttemptId, last_lines: int, node: int) -> list[str]:
        """Of a machine's newest pod, as long as the artifact root has no log of it."""
        name = f"{job_name(attempt)}-{node}-"
        try:
            pods = [pod["metadata"] for each, pod in self._pods.objects().items() if each.startswith(name)]
            for pod in sorted(pods, key=lambda pod: str(pod["creationTimestamp"]), reverse=True):
                path = self.cluster.path("v1", "pods", pod["name"], "log")
                return self.cluster.text(path, tailLines=last_lines).splitlines()
        except ClusterError as error:
            log.info("run.no_pod_log", run=attempt.run_id, error=str(error))
        return []

    def _job_path(self, attempt: AttemptId) -> str:
        return self.cluster.path("batch/v1", "jobs", job_name(attempt))


_NOT_READ = AttemptStatus(state=RunState.RUNNING)
"""Of an attempt that has ended, and whose end is still to be read."""


def _by_attempt(pods: Iterable[Json]) -> dict[AttemptId, list[Json]]:
    found: dict[AttemptId, list[Json]] = {}
    for pod in pods:
        found.setdefault(attempt_of(pod["metadata"]["labels"]), []).append(pod)
    return found
