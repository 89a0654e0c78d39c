"""Ports for servers that are started later, or again and again."""

import random
import socket

FIRST, LAST = 20_000, 29_999
"""Below those that the system gives to whoever connects (32768 and more on Linux), so that none of these has it by the
time when the server comes, nor while that one is away. Each process draws its own."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port of ``host`` where nobody listens."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
