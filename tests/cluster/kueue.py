"""Install the real Kueue into a running test cluster: `python -m tests.cluster.kueue`, after `cluster.py up`.

Binary and manifests come from the Go module that kueue/go.mod names; the manager runs as a Deployment.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from tests.cluster.cluster import CACHE, IMAGE, SOURCE, Cluster, ClusterError, build, run

MODULE = "sigs.k8s.io/kueue"
NAMESPACE = "kueue-system"
DEPLOYMENT = "kueue-controller-manager"


def program() -> Path:
    """Kueue's manager, from the cache or built now."""
    return build(SOURCE / "kueue", f"{MODULE}/cmd/kueue")


def install(cluster: Cluster) -> None:
    """Build Kueue, apply its manifests and wait until its manager and webhooks answer."""
    source, binary = SOURCE / "kueue", program()
    manifests = Path(run("go", "-C", source, "list", "-m", "-f={{.Dir}}", MODULE).strip()) / "config"
    overlay = cluster.dir / "kueue"
    overlay.mkdir(exist_ok=True)
    (overlay / "kustomization.yaml").write_text(json.dumps(kustomization(manifests, overlay, binary)))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", overlay)
    cluster.kubectl("rollout", "status", f"deployment/{DEPLOYMENT}", f"--namespace={NAMESPACE}", "--timeout=240s")


def kustomization(manifests: Path, overlay: Path, binary: Path) -> dict[str, object]:
    """Kueue's default manifests with our image and binary, and without the extension API server (no need here)."""
    settings = (manifests / "components" / "manager" / "controller_manager_config.yaml").read_text()
    settings = settings.replace("leaderElect: true", "leaderElect: false")
    settings += "\nfeatureGates:\n  VisibilityOnDemand: false\n"
    container = {
        "name": "manager",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [{"name": "binary", "mountPath": "/manager", "readOnly": True}],
        "readinessProbe": {"initialDelaySeconds": 0, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m"}},
    }
    pod = {
        "securityContext": {"runAsUser": 65532},
        "containers": [container],
        "volumes": [{"name": "binary", "hostPath": {"path": str(binary), "type": "File"}}],
    }
    patches: dict[str, dict[str, object]] = {
        "Deployment": {"spec": {"template": {"spec": pod}}},
        "ConfigMap": {"data": {"controller_manager_config.yaml": settings}},
        "APIService": {"$patch": "delete"},
    }
    return {
        "resources": [os.path.relpath(manifests / "default", overlay)],
        "patches": [
            {
                "target": {"kind": kind},
                "patch": json.dumps({"kind": kind, "apiVersion": "v1", "metadata": {"name": "any"}} | patch),
            }
            for kind, patch in patches.items()
        ],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Install Kueue into a running test cluster.")
    parser.add_argument("--dir", type=Path, default=CACHE / "default", help="the cluster's directory (%(default)s)")
    try:
        install(Cluster(parser.parse_args().dir))
    except ClusterError as error:
        sys.exit(f"kueue.py: {error}")


if __name__ == "__main__":
    main()
