"""What brings weights and adapters from a bucket to a model server's pod, from a real S3 server."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from serving.puller import MODULE, Adapters, bring, parse_wanted, read_wanted, write_wanted
from storage.artifact_errors import Incomplete
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST
from tests.one_pod import one_pod
from tests.s3_server import S3Server


@pytest.fixture
def bucket(bucket_url: str) -> ArtifactFiles:
    return ArtifactFiles(bucket_url, patience=timedelta(seconds=0.3))


@pytest.fixture
def models(bucket: ArtifactFiles, tmp_path: Path) -> ArtifactFiles:
    """With three models, complete, in the bucket."""
    for name in ("one", "two", "three"):
        source = tmp_path / "sources" / name
        (source / "sub").mkdir(parents=True)
        (source / "adapter_config.json").write_text(f'"{name}"')
        (source / "sub" / "weights").write_bytes(name.encode() * 1000)
        bucket.keep_folder(source, f"models/{name}")
    return bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pod" / "adapters"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", MODULE, *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)


def test_weights_are_there_when_it_ends(models: ArtifactFiles, folder: Path) -> None:
    done = run("weights", models.root, "models/one", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"models/one is at {folder}\n", "")
    assert (folder / "sub" / "weights").read_bytes() == b"one" * 1000
    assert (folder / MANIFEST).exists()
    assert names(folder.parent) == [".adapters.lock", "adapters"]


def test_weights_that_cannot_be_brought_are_one_line_and_an_exit_code(models: ArtifactFiles, folder: Path) -> None:
    done = run("weights", models.root, "models/none", folder)
    assert done.returncode == 1
    assert done.stdout == "models/none cannot be brought: Incomplete: models/none is not complete\n"
    assert done.stderr == ""
    assert not folder.exists()


def test_weights_that_broke_off_are_gone_on_with(models: ArtifactFiles, s3: S3Server, folder: Path) -> None:
    models.write("models/one/sub/weights", b"not what the manifest says")
    with pytest.raises(Incomplete):
        bring(models, "models/one", folder)
    assert not folder.exists(), "half a model is none"
    reads = s3.reads("models/one/adapter_config.json")
    models.write("models/one/sub/weights", b"one" * 1000)
    bring(models, "models/one", folder)
    assert (folder / "adapter_config.json").read_text() == '"one"'
    assert s3.reads("models/one/adapter_config.json") == reads


def test_weights_on_a_kept_volume_are_left_and_half_ones_are_not(
    models: ArtifactFiles, s3: S3Server, folder: Path
) -> None:
    bring(models, "models/one", folder)
    reads = s3.reads("models/one/sub/weights")
    bring(models, "models/one", folder)
    assert s3.reads("models/one/sub/weights") == reads
    (folder / "sub" / "weights").write_bytes(b"half")
    bring(models, "models/one", folder)
    assert (folder / "sub" / "weights").read_bytes() == b"one" * 1000


def test_several_pods_on_one_volume_bring_weights_once(models: ArtifactFiles, s3: S3Server, folder: Path) -> None:
    pods = [threading.Thread(target=bring, args=(models, "models/two", folder)) for _ in range(4)]
    for pod in pods:
        pod.start()
    for pod in pods:
        pod.join(60)
    assert (folder / "sub" / "weights").read_bytes() == b"two" * 1000
    assert s3.reads("models/two/sub/weights") == 1


def test_adapters_come_and_go_as_they_are_wanted(models: ArtifactFiles, folder: Path) -> None:
    adapters = Adapters(models, "host", folder)
    adapters.match()
    assert names(folder) == []
    write_wanted(models, "host", ["models/two", "models/one", "models/two"])
    write_wanted(models, "other", ["models/three"])
    adapters.match()
    assert names(folder) == ["one", "two"]
    assert (folder / "two" / "sub" / "weights").read_bytes() == b"two" * 1000
    write_wanted(models, "host", ["models/three", "models/two"])
    adapters.match()
    assert names(folder) == ["three", "two"]
    write_wanted(models, "host", [])
    adapters.match()
    assert names(folder) == []


def test_one_that_cannot_be_brought_keeps_no_other_from_coming_and_is_said_once(
    models: ArtifactFiles, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.write("models/one/sub/weights", b"not what the manifest says")
    write_wanted(models, "host", ["models/none", "models/one", "models/two"])
    adapters = Adapters(models, "host", folder)
    adapters.match()
    adapters.match()
    assert names(folder) == [".one.part", "two"]
    said = capsys.readouterr().out
    assert said.count("models/one cannot be brought yet: Incomplete") == 1
    assert said.count("models/none cannot be brought yet: Incomplete") == 1
    models.write("models/one/sub/weights", b"one" * 1000)
    adapters.match()
    assert names(folder) == ["one", "two"]


def test_what_a_killed_one_left_is_cleared_away(models: ArtifactFiles, folder: Path) -> None:
    for left in (".three.part", ".one.gone", ".two.part", "stray"):
        (folder / left).mkdir(parents=True)
        (folder / left / "half").write_text("half")
    write_wanted(models, "host", ["models/two"])
    Adapters(models, "host", folder).match()
    assert names(folder) == ["two"]


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'["models/.."]', b'[""]', b'["models/.hidden"]', b"\xff"])
def test_a_list_that_is_none_changes_nothing(models: ArtifactFiles, folder: Path, text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of whatever kind
        parse_wanted(text)
    write_wanted(models, "host", ["models/two"])
    adapters = Adapters(models, "host", folder)
    adapters.match()
    models.write("hosts/host/adapters.json", text)
    adapters.match()
    assert names(folder) == ["two"]


def test_a_bucket_that_is_away_takes_nothing_away(models: ArtifactFiles, s3: S3Server, folder: Path) -> None:
    write_wanted(models, "host", ["models/two"])
    adapters = Adapters(models, "host", folder)
    adapters.match()
    s3.stop()
    try:
        adapters.match()
        assert names(folder) == ["two"]
    finally:
        s3.start()
    write_wanted(models, "host", ["models/one"])
    adapters.match()
    assert names(folder) == ["one"]


@contextmanager
def sidecar(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command("adapters", *arguments), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_sidecar_follows_and_ends_at_once(models: ArtifactFiles, s3: S3Server, folder: Path) -> None:
    write_wanted(models, "host", ["models/one"])
    with sidecar(models.root, "host", folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "models/one is there\n"
        write_wanted(models, "host", ["models/two"])
        assert process.stdout.readline() == "models/two is there\n"
        assert process.stdout.readline() == "one is removed\n"
        s3.stop()
        try:
            # In the middle of a request that is tried again and again.
            assert process.poll() is None
            process.terminate()
            assert process.wait(30) == 0
        finally:
            s3.start()
    assert names(folder) == ["two"]


def test_adapters_that_are_loaded_at_once_are_all_brought(
    bucket: ArtifactFiles, bucket_url: str, tmp_path: Path
) -> None:
    with one_pod(tmp_path, bucket_url) as stage, ThreadPoolExecutor() as threads:
        adapters = [stage.adapter(f"a{number}") for number in range(4)]
        list(threads.map(lambda adapter: stage.server.load("h1", adapter), adapters))
        assert read_wanted(bucket, "h1") == {f"models/a{number}" for number in range(4)}
        stage.server.unload("h1", "a0")
        assert read_wanted(bucket, "h1") == {f"models/a{number}" for number in range(1, 4)}
