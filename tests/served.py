"""A web application in a thread of its own, for as long as a test wants it."""

import socket
import threading
import time

import uvicorn

PATIENCE_S = 60


class Served:
    """A server on a listening socket, which stays the caller's."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)

    def start(self) -> None:
        """Return once it serves."""
        self._thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not self._server.started:
            assert self._thread.is_alive(), "the server has ended before it served"
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.005)

    def stop(self) -> None:
        """Return once it has ended, whoever is still connected."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server does not end"
