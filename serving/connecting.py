"""How a replica is connected to, by whatever client."""

import ssl
from typing import TypedDict

from serving.services import Address


class Connecting(TypedDict):
    """Arguments of httpx's clients."""

    trust_env: bool
    verify: ssl.SSLContext | bool
    http2: bool


def connecting(address: Address) -> Connecting:
    """What a client of ``address`` is made with.

    Through an API server's proxy it is HTTP/2: in HTTP/1.1 Go's server closes a question's body as soon as the answer
    begins, and with it, where the answer is quick, the connection to the pod (seen with one of twenty).
    """
    # Without TLS there is nothing to check, and loading the machine's certificates takes 20 ms.
    verify = address.tls or not address.base_url.startswith("http://")
    return Connecting(trust_env=False, verify=verify, http2=address.tls is not None)
