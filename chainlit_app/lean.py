"""Keeps what Chainlit loads and nobody needs out of the server.

Chainlit takes a few type names from Literal AI's client, which imports a tracing SDK for its own service, which imports
pandas, gRPC and OpenTelemetry's exporters: 100 MB and most of the time of a start, for something that we never call and
that would send data to a foreign host if we did.
"""

import sys
from types import ModuleType


class NoTracing:
    """In place of ``traceloop.sdk.Traceloop``: tracing is not a part of Tunesmith."""


def leave_out_tracing() -> None:
    """Let the tracing SDK be an empty one. Call before the first import of Chainlit."""
    if "traceloop.sdk" in sys.modules:
        return
    package, sdk = ModuleType("traceloop"), ModuleType("traceloop.sdk")
    package.__path__ = []
    sdk.__dict__["Traceloop"] = NoTracing
    sys.modules |= {"traceloop": package, "traceloop.sdk": sdk}
