"""A server that speaks HTTP/2 over TLS, as an API server's proxy does: each answer begins, and does not end."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamReset

from serving.services import Address


class EndlessAnswers:
    """What is asked, and has not been given up: neither its stream was reset nor its connection closed."""

    def __init__(self) -> None:
        self.asked = 0
        self.under_way = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its client closes it."""
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        streams: set[int] = set()
        with suppress(ConnectionError):
            while True:
                writer.write(connection.data_to_send())
                data = await reader.read(65536)
                if not data:
                    break
                for event in connection.receive_data(data):
                    if isinstance(event, RequestReceived):
                        connection.send_headers(
                            event.stream_id, [(":status", "200"), ("content-type", "text/event-stream")]
                        )
                        connection.send_data(event.stream_id, b"data: {}\n\n")
                        streams.add(event.stream_id)
                        self.asked += 1
                        self.under_way += 1
                    elif isinstance(event, StreamReset) and event.stream_id in streams:
                        streams.remove(event.stream_id)
                        self.under_way -= 1
        self.under_way -= len(streams)
        writer.close()


@asynccontextmanager
async def endless_answers(folder: Path) -> AsyncIterator[tuple[EndlessAnswers, Address]]:
    """Such a server, and where it is; its certificate is written to ``folder``."""
    answers = EndlessAnswers()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder))
    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(answers.answer, "127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    port = server.sockets[0].getsockname()[1]
    try:
        yield answers, Address(base_url=f"https://127.0.0.1:{port}", api_key="none", tls=trusting)
    finally:
        server.close()


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins_at = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins_at)
        .not_valid_after(begins_at + timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return file
