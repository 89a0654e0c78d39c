"""Whether trainings can run where the settings send them: API server, rights, quota, volume or bucket, cards, queue.

Nothing is changed, but for a small file that is written to the artifact root, read and deleted again.
"""

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from bot.diagnoses import Diagnosis, found
from bot.doctor_place import PlaceLook
from bot.places import read_places
from bot.settings import Settings
from bot.stopping import CannotGoOnError
from storage.artifact_errors import ArtifactError
from storage.files import ArtifactFiles
from training.cluster import Cluster, ClusterError, Forbidden, NotKnown, Unreachable
from training.places import ClusterPlace

PATIENCE = timedelta(seconds=10)
"""With a bucket that does not answer."""


async def diagnose_cluster(settings: Settings) -> list[Diagnosis]:
    """The artifact root as this server sees it, then every place."""
    try:
        places = read_places(settings)
    except CannotGoOnError as error:
        return [found("places", "bad", f"cannot.{error.code}", **error.values)]
    looks = [asyncio.to_thread(diagnose_place, place, is_bucket=settings.is_bucket) for place in places]
    root, *findings = await asyncio.gather(asyncio.to_thread(_root, settings), *looks)
    return [*root, *(finding for each in findings for finding in each)]


def diagnose_place(place: ClusterPlace, *, is_bucket: bool) -> list[Diagnosis]:
    """Everything about one place, the API server first: without it nothing else is asked."""
    try:
        cluster = Cluster(place)
    except Unreachable as error:
        return [found("cluster", "bad", "cannot.find_cluster", place=place.name, problem=str(error))]
    with closing(cluster):
        try:
            version = cluster.version()
        except ClusterError as error:
            code = "refused" if isinstance(error, Forbidden | NotKnown) else "unreachable"
            return [found("cluster", "bad", code, place=place.name, error=str(error))]
        reached = found("cluster", "ok", place=place.name, version=version, namespace=cluster.namespace)
        return [reached, *PlaceLook(place, cluster, is_bucket).findings()]


def _root(settings: Settings) -> list[Diagnosis]:
    """Write, read and delete a small file: as this server, with its own keys."""
    root, key = str(settings.artifacts_root), f"doctor-{uuid4().hex}"
    name = "bucket" if settings.is_bucket else "artifacts"
    if not settings.is_bucket and not Path(root).is_dir():
        return [found(name, "bad", "missing", root=root)]
    try:
        files = ArtifactFiles(root, patience=PATIENCE)
        files.write(key, b"here")
        files.read(key)
        files.delete(key)
    except (ArtifactError, OSError) as error:
        return [found(name, "bad", root=root, error=" ".join(str(error).split())[:300])]
    return [found(name, "ok", root=root)]
