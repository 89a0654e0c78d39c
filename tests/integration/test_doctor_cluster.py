"""`tunesmith doctor` where trainings go to a cluster: what can be found without one."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.diagnoses import Diagnosis
from bot.doctor import diagnose
from bot.doctor_cluster import diagnose_cluster
from bot.settings import read_settings
from bot.texts import texts
from tests.s3_server import S3Server

EN, ZH = texts("en"), texts("zh-CN")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """One place, on an API server that nobody runs."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "away", "context": {"cluster": "away", "user": "me"}}],
        "current-context": "away",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    (tmp_path / "places.yaml").write_text(f"- kubeconfig: {tmp_path / 'kubeconfig'}\n")
    return tmp_path / "places.yaml"


async def look(**given: Any) -> dict[str, Diagnosis]:
    settings = read_settings(runs="kubernetes", **{"image": "trainer:1", **given})
    findings = await diagnose_cluster(settings)
    assert all(finding.sentence(EN) and finding.sentence(ZH) for finding in findings)
    return {finding.name: finding for finding in findings}


async def test_an_api_server_that_does_not_answer(tmp_path: Path, places: Path) -> None:
    root = tmp_path / "artifacts"
    root.mkdir()
    findings = await look(places=places, artifacts_root=root, artifacts_claim="artifacts")
    assert (findings["cluster"].state, findings["cluster"].code) == ("bad", "unreachable")
    assert findings["cluster"].sentence(EN).startswith("Place cluster: the API server does not answer (")
    assert findings["artifacts"].state == "ok"
    assert not any(root.glob("*"))


async def test_no_way_to_any_cluster(tmp_path: Path, places: Path) -> None:
    (tmp_path / "kubeconfig").unlink()
    findings = await look(places=places, artifacts_root=tmp_path, artifacts_claim="artifacts")
    assert (findings["cluster"].state, "KUBECONFIG" in findings["cluster"].sentence(EN)) == ("bad", True)


async def test_a_folder_that_is_not_mounted(tmp_path: Path, places: Path) -> None:
    findings = await look(places=places, artifacts_root=tmp_path / "none", artifacts_claim="artifacts")
    assert (findings["artifacts"].state, findings["artifacts"].code) == ("bad", "missing")
    assert not (tmp_path / "none").exists()


async def test_settings_that_are_wrong_are_one_finding(tmp_path: Path) -> None:
    findings = await look(image=None, artifacts_root=tmp_path, artifacts_claim="artifacts")
    assert list(findings) == ["places"]
    assert (findings["places"].state, "TUNESMITH_IMAGE" in findings["places"].sentence(EN)) == ("bad", True)


async def test_a_bucket_that_answers_and_one_that_does_not(
    places: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = s3.new_bucket()
    findings = await look(places=places, artifacts_root=f"s3://{bucket}/models")
    assert (findings["bucket"].state, findings["bucket"].values["root"]) == ("ok", f"s3://{bucket}/models")
    assert not [path for path in (s3.data / bucket).rglob("*") if path.is_file()]

    missing = (await look(places=places, artifacts_root="s3://nowhere"))["bucket"]
    assert (missing.state, "AWS_ENDPOINT_URL" in missing.sentence(EN)) == ("bad", True)

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-key-of-somebody")
    refused = (await look(places=places, artifacts_root=f"s3://{bucket}"))["bucket"]
    assert refused.state == "bad"
    assert "wrong-key-of-somebody" not in refused.sentence(EN)


async def test_a_missing_training_environment_is_no_fault(tmp_path: Path, places: Path) -> None:
    settings = read_settings(
        home=tmp_path,
        runs="kubernetes",
        image="trainer:1",
        artifacts_claim="artifacts",
        places=places,
        training_python=tmp_path / "no-python",
        serving="kubernetes",
        serving_image="vllm:1",
        serving_python=tmp_path / "no-python",
    )
    findings = {finding.name: finding for finding in await diagnose(settings)}
    for name in ("training", "serving"):
        assert (findings[name].state, findings[name].code) == ("ok", "elsewhere")
    assert findings["cluster"].state == "bad"
