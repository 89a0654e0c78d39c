from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.settings import read_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TUNESMITH_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.chdir(tmp_path)


def test_everything_stands_below_the_home(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path / "home")

    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/home/tunesmith.db"
    assert settings.artifacts_root == tmp_path / "home" / "artifacts"
    for path in (settings.models_folder, settings.hosts_folder, settings.log_folder, settings.server_lock):
        assert path.is_relative_to(tmp_path / "home")


def test_the_home_is_the_persons_own_when_nothing_is_said(tmp_path: Path) -> None:
    assert read_settings().home == tmp_path / "person" / ".tunesmith"


def test_what_is_given_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("TUNESMITH_PORT=1\nTUNESMITH_THREADS=3\nOTHER=x\n")
    assert read_settings().port == 1

    monkeypatch.setenv("TUNESMITH_PORT", "2")
    assert read_settings().port == 2
    assert read_settings(port=None).port == 2
    assert read_settings(port=4).port == 4
    assert read_settings().threads == 3


def test_a_relative_home_becomes_absolute(tmp_path: Path) -> None:
    assert read_settings(home="here").home == tmp_path / "here"


@pytest.mark.parametrize(("host", "is_local"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)])
def test_only_loopback_is_local(host: str, is_local: bool) -> None:
    assert read_settings(host=host).is_local is is_local


@pytest.mark.parametrize(("host", "everywhere"), [("127.0.0.1", "0.0.0.0"), ("::1", "::")])
def test_other_machines_are_let_in_where_that_is_asked_for(host: str, everywhere: str) -> None:
    assert read_settings(host=host).listens_at == host
    opened = read_settings(host=host, open_endpoint=True)
    assert opened.listens_at == everywhere
    assert opened.address == read_settings(host=host).address


def test_a_relative_artifact_root_becomes_absolute_and_the_persons_home_is_known(tmp_path: Path) -> None:
    assert read_settings(artifacts_root="files").artifacts_root == tmp_path / "files"
    assert read_settings(artifacts_root="~/files").artifacts_root == tmp_path / "person" / "files"
    assert not read_settings(artifacts_root="files").is_bucket


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("s3://models", "s3://models"), ("s3://models/", "s3://models"), ("s3://my.models/a/b_c", "s3://my.models/a/b_c"),
        ("s3://models/..a/b..", "s3://models/..a/b.."),
    ],
)  # fmt: skip
def test_the_artifact_root_may_be_a_bucket_of_a_cluster(given: str, root: str) -> None:
    settings = read_settings(artifacts_root=given, runs="kubernetes")
    assert settings.artifacts_root == root
    assert settings.is_bucket


@pytest.mark.parametrize(
    "given",
    [
        "gs://models", "https://example.org/models", "file:///models", "s3://", "s3:///models", "s3://models//a",
        "s3://models/../a", "s3://models/a?b=c", "s3://key:secret@models/a", "s3://Models",
    ],
)  # fmt: skip
def test_another_artifact_root_is_refused_with_what_is_meant(given: str) -> None:
    with pytest.raises(ValidationError, match="a folder is meant, or a bucket written as s3://bucket/prefix"):
        read_settings(artifacts_root=given, runs="kubernetes")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "::1", "port": 9000}, "http://[::1]:9000"),
        ({"public_url": "https://tune.example.org"}, "https://tune.example.org"),
        ({"public_url": "https://example.org:8443/tune/"}, "https://example.org:8443/tune"),
    ],
)
def test_the_address_that_people_are_told(given: dict[str, object], address: str) -> None:
    settings = read_settings(**given)
    assert (settings.address, settings.endpoint_url) == (address, f"{address}/v1")


@pytest.mark.parametrize(
    "given",
    [
        "tune.example.org", "ftp://example.org", "https://", "https://example.org/?a=b", "https://example.org/#a",
        "https://ann:secret@example.org", "https://example.org:port", "https://example.org:0", "https://exa mple.org",
        "",
    ],
)  # fmt: skip
def test_another_public_address_is_refused_with_what_is_meant(given: str) -> None:
    with pytest.raises(ValidationError, match=r"as https://tune\.example\.org: http or https, and nothing after"):
        read_settings(public_url=given)


def test_trainings_on_this_machine_need_a_folder() -> None:
    with pytest.raises(ValidationError, match="trainings on this machine need a folder"):
        read_settings(artifacts_root="s3://models")


def test_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="port"):
        read_settings(port=70000)
