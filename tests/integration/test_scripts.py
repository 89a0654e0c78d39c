"""`scripts/run` on machines that lack something, and when it is killed in the middle."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.places import PROJECT

TOOLS = (
    *("awk", "bash", "cat", "chmod", "cut", "date", "df", "dirname", "env", "flock", "grep", "id", "ln", "mkdir", "mv"),
    *("printf", "rm", "sed", "sha256sum", "sh", "sleep", "stat", "tail", "uname"),
)

FAKE_UV = """#!/bin/sh
echo "$@" >> "$LOG"
case "$1 $2" in
  "cache dir") echo "$(dirname "$0")/cache" ;;
  "venv "*)
    for target; do :; done
    mkdir -p "$target/bin"
    ln -s "$REAL_PYTHON" "$target/bin/python"
    : > "$target/begun" ;;
  "pip sync") [ ! -e "$HANG" ] || sleep 600 ;;
esac
"""
"""Answers as uv does, makes what it would make, and hangs while a file says so."""


class Checkout:
    """A copy of what `scripts/run` needs, with a PATH of its own."""

    def __init__(self, folder: Path, tools: tuple[str, ...] = TOOLS) -> None:
        self.folder = folder / "a check out"
        self.home = folder / "home"
        self.tools = folder / "tools"
        self.log = folder / "uv.log"
        self.hang = folder / "hang"
        self.folder.mkdir()
        self.tools.mkdir()
        for name in ("scripts", "requirements"):
            shutil.copytree(PROJECT / name, self.folder / name)
        for name in tools:
            path = shutil.which(name)
            if path:
                (self.tools / name).symlink_to(path)

    def put(self, path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def add_python(self) -> None:
        self.put(self.tools / "python3", f'#!/bin/sh\nexec "{self.python}" "$@"\n')

    @property
    def python(self) -> str:
        return os.path.realpath(PROJECT / ".venv/bin/python") if (PROJECT / ".venv").exists() else PYTHON

    def stamp(self, environment: str, locked: str) -> None:
        digest = hashlib.sha256((self.folder / "requirements" / locked).read_bytes()).hexdigest()
        (self.folder / environment / ".stamp").write_text(f"{digest} {self.folder}\n")

    def add_uv(self) -> None:
        self.put(self.folder / ".uv/bin/uv", FAKE_UV)
        (self.folder / ".uv/bin/python").symlink_to(self.python)
        self.stamp(".uv", "uv.txt")

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        variables = {
            "PATH": str(self.tools),
            "HOME": str(self.folder.parent),
            "TUNESMITH_HOME": str(self.home),
            "REAL_PYTHON": self.python,
            "LOG": str(self.log),
            "HANG": str(self.hang),
        }
        return subprocess.Popen(
            [shutil.which("bash") or "bash", self.folder / "scripts" / "run", *options],
            env=variables | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def refuse(self, *options: str, **environment: str) -> str:
        """Run it, and return the one sentence with which it ends."""
        process = self.start(*options, **environment)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert len(said.strip().splitlines()) == 1
        return said


PYTHON = os.path.realpath("/proc/self/exe")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_python_it_says_which_one_it_needs(checkout: Checkout) -> None:
    assert "needs Python 3.11" in checkout.refuse()


def test_an_old_python_is_passed_over(checkout: Checkout) -> None:
    checkout.put(checkout.tools / "python3.13", "#!/bin/sh\nexit 1\n")
    checkout.put(checkout.tools / "python3", "#!/bin/sh\nexit 1\n")

    assert "needs Python 3.11" in checkout.refuse()


def test_without_room_it_says_how_much_is_needed_and_free(checkout: Checkout) -> None:
    checkout.add_python()
    (checkout.tools / "df").unlink()
    checkout.put(checkout.tools / "df", "#!/bin/sh\necho head\necho '/dev/x 100000000 98000000 2000000 98% /'\n")

    said = checkout.refuse()

    assert "about 9 GB are needed" in said
    assert "2.0 GB are free" in said


def test_without_a_network_it_says_so(checkout: Checkout) -> None:
    checkout.add_python()

    said = checkout.refuse(HTTPS_PROXY="http://127.0.0.1:9", PIP_RETRIES="0", PIP_CONFIG_FILE=os.devnull)

    assert "could not be downloaded" in said
    assert "Check the network" in said


def test_without_the_right_to_write_it_says_where(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = checkout.refuse("--home", str(tmp_path / "file" / "home"))

    assert "No permission to write" in said
    assert str(tmp_path / "file" / "home") in said


@pytest.mark.parametrize(("options", "code"), [(["--help"], 0), (["--nonsense"], 2), (["--port"], 2)])
def test_usage(checkout: Checkout, options: list[str], code: int) -> None:
    process = checkout.start(*options)
    out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert "usage: scripts/run" in out + err


def prepare(checkout: Checkout) -> None:
    for environment, locked in ((".venv", "main.txt"), (".venv-serving", "serving.txt")):
        checkout.put(checkout.folder / environment / "bin" / "python", "#!/bin/sh\n")
        checkout.stamp(environment, locked)
    checkout.put(checkout.folder / ".venv/bin/tunesmith", '#!/bin/sh\necho "tunesmith $*"\n')
    model = checkout.home / "models" / "smollm2-135m-instruct"
    model.mkdir(parents=True)
    (model / "manifest.json").touch()


def test_a_prepared_checkout_starts_at_once(checkout: Checkout) -> None:
    prepare(checkout)

    process = checkout.start("--port", "8123")
    out, err = process.communicate(timeout=60)

    assert (out, err) == (f"tunesmith up --home {checkout.home} --port 8123\n", "")


def test_an_environment_that_was_killed_in_the_making_is_made_anew(checkout: Checkout) -> None:
    prepare(checkout)
    checkout.add_python()
    checkout.add_uv()
    (checkout.folder / ".venv-serving/.stamp").unlink()
    (checkout.folder / ".venv-serving/half").touch()
    checkout.hang.touch()
    process = checkout.start()
    deadline = time.monotonic() + 30
    while not (checkout.log.exists() and "pip sync" in checkout.log.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (checkout.folder / ".venv-serving/.stamp").exists()

    checkout.hang.unlink()
    process = checkout.start()
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert "Model server (vLLM)" in out
    assert out.splitlines()[-1].startswith("tunesmith up")
    assert not (checkout.folder / ".venv-serving/half").exists()
    assert checkout.log.read_text().count("pip sync") == 2
