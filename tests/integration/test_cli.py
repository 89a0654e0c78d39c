import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import PROJECT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def tunesmith(*arguments: str, home: Path, language: str = "en_US.UTF-8") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TUNESMITH_HOME": str(home), "LC_ALL": language, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-P", "-m", "bot.cli", *arguments]
    return subprocess.run(
        command, env=environment, cwd=home.parent, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_a_web_chat_that_others_could_reach_is_refused(home: Path, host: str) -> None:
    done = tunesmith("up", "--host", host, "--open-endpoint", home=home)

    assert done.returncode == 1
    assert f"{host} is not an address of this machine alone" in done.stderr
    assert "--open-endpoint" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_in_use_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = tunesmith("up", "--port", port, home=home, language="zh_CN.UTF-8")

    assert done.returncode == 1
    assert f"端口 {port} 已被其他程序占用" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_setting_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_THREADS", "none")

    done = tunesmith("db", "upgrade", home=home)

    assert done.returncode == 1
    assert "TUNESMITH_THREADS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_database_is_made_and_the_doctor_sees_it(home: Path) -> None:
    def database() -> str:
        done = tunesmith("doctor", "--json", home=home)
        (found,) = (finding for finding in json.loads(done.stdout) if finding["name"] == "database")
        return str(found["code"])

    assert database() == "none"
    assert not home.exists()

    assert tunesmith("db", "upgrade", home=home).returncode == 0
    assert database() == "ok"


def test_the_doctor_says_what_is_bad_and_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_SERVING_PYTHON", str(home / "python"))

    done = tunesmith("doctor", home=home)

    assert done.returncode == 1
    assert f"bad  Serving: there is no Python at {home / 'python'}. Run scripts/run --prepare." in done.stdout
    assert "ok   Training: trl" in done.stdout
