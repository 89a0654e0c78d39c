"""A real S3 server on this machine: versitygw, built once from its Go module, over a folder."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from serving.vllm_local import free_port
from tests.cluster.cluster import ClusterError, build

SOURCE = Path(__file__).parent / "s3"
PROGRAM = "github.com/versity/versitygw/cmd/versitygw"
KEY_ID = "tests"
SECRET_KEY = "not-a-secret"
STARTS_WITHIN_S = 60


def program() -> Path:
    """The server's binary, from the cache or built now (a minute or two). Fails loudly where that cannot be."""
    try:
        return build(SOURCE, PROGRAM)
    except (ClusterError, FileNotFoundError) as error:
        pytest.fail(f"Tests with a bucket need Go, to build an S3 server once: {error}")


@dataclass(kw_only=True)
class S3Server:
    """Use :func:`s3_server`. Each bucket is a folder below ``data``."""

    binary: Path
    folder: Path
    host: str
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this server has in its environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self.host}:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    @property
    def data(self) -> Path:
        """A folder for each bucket, with its objects as files."""
        return self.folder / "data"

    def new_bucket(self) -> str:
        """The name of a fresh, empty bucket."""
        name = f"bucket-{uuid4().hex[:12]}"
        (self.data / name).mkdir()
        return name

    def reads(self, ending: str) -> int:
        """How often objects whose keys end so were read since the start."""
        lines = (self.folder / "access").read_text().splitlines()
        return sum(" s3_GetObject " in line and f"{ending} /" in line for line in lines)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        address = f"{self.host}:{self.port}"
        sidecar = str(self.folder / "sidecar")
        access = str(self.folder / "access")
        command = [str(self.binary), "--quiet", "--port", address, "--access-log", access]
        command += ["posix", "--sidecar", sidecar, str(self.data)]
        environment = os.environ | {"ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET_KEY}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the S3 server did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; what it holds stays for the next start."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            finally:
                self._process.kill()
                self._process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def s3_server(folder: Path, *, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """A server with its data below ``folder``, at an address of this machine."""
    for name in ("data", "sidecar"):
        (folder / name).mkdir(parents=True)
    server = S3Server(binary=program(), folder=folder, host=host, port=free_port(host))
    try:
        server.start()
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    build(SOURCE, PROGRAM)
