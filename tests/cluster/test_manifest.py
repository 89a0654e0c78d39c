"""What `tunesmith manifest` prints, shown to a real API server."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bot.manifests import print_manifest
from bot.settings import read_settings
from bot.texts import texts
from tests.cluster import charts
from tests.cluster.cluster import Cluster, ClusterError, wait_for
from tests.cluster.stage import ROWS
from tests.tiny_model import write_rows

NAMESPACE = "printed"
STORES: dict[str, dict[str, Any]] = {
    "volume": {"artifacts_claim": "artifacts"},
    "bucket": {"artifacts_root": "s3://models", "artifacts_secret": "bucket"},
}


@pytest.fixture(scope="module")
def strict(cluster: Cluster) -> str:
    """A namespace that admits restricted pods only, and warns of Jobs that would make others."""
    charts.make_namespace(cluster, NAMESPACE)
    account = ("get", "serviceaccount", "default", f"--namespace={NAMESPACE}")
    wait_for("the default account", lambda: bool(cluster.kubectl(*account)), 30)
    return NAMESPACE


def show(cluster: Cluster, file: Path) -> str:
    """Have the server go through everything, and make nothing. A warning is an error."""
    return cluster.kubectl(
        "apply", "--dry-run=server", "--warnings-as-errors", f"--namespace={NAMESPACE}", f"--filename={file}"
    )


@pytest.mark.parametrize("store", STORES)
def test_a_strict_namespace_takes_what_is_printed_without_a_warning(
    cluster: Cluster, strict: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], store: str
) -> None:
    write_rows(tmp_path / "numbers.jsonl", ROWS)
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"base_model: {tiny_model}\ndataset: numbers.jsonl\npreset: quick\nnodes: 2\n")
    settings = read_settings(home=tmp_path / "home", runs="kubernetes", image="trainer:1", **STORES[store])
    assert print_manifest(plan, place=None, settings=settings, text=texts("en")) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)

    assert show(cluster, printed).splitlines() == [
        "job.batch/tunesmith-example-1 created (server dry run)",
        "service/tunesmith-example-1 created (server dry run)",
    ]
    assert cluster.kubectl("get", "jobs,services", f"--namespace={strict}", "-o=name") == ""

    job, _ = YAML(typ="safe").load_all(printed.read_text())
    pod = {"apiVersion": "v1", "kind": "Pod", **job["spec"]["template"]}
    pod["metadata"]["name"] = "one"
    (tmp_path / "pod.json").write_text(json.dumps(pod))
    assert "pod/one created" in show(cluster, tmp_path / "pod.json")
    pod["spec"]["hostNetwork"] = True
    (tmp_path / "pod.json").write_text(json.dumps(pod))
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        show(cluster, tmp_path / "pod.json")
