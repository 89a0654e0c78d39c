"""A Kubernetes API server: requests as plain data.

The client library finds the server, the credentials and the certificates; objects stay the JSON that they are.

::

    ClusterError
    ├── Gone          a watch is to begin anew with a list
    ├── Conflict      there is one of that name already
    ├── Missing       there is none of that name
    ├── Forbidden     the account may not, or a policy or quota refuses
    ├── Invalid       the server refuses the object as it is
    └── Unreachable   no answer: try again later
        └── NotKnown  a token that is not taken (any more)
"""

import json
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.places import ClusterPlace

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


Json = dict[str, Any]

REQUEST_TIMEOUT_S = 20
WATCH_S = 60
"""How long a watch stays open before it is asked for anew; silence much longer than that is a broken line."""
SLACK_S = 15
NOT_READY = "not yet ready to handle request"
"""What an API server that has just started says of its policies, with the status of a refusal."""
MANAGER = "tunesmith"
"""Who owns the fields that we apply."""
_AUTHENTICATION = "authentication.k8s.io/v1"
_AUTHORIZATION = "authorization.k8s.io/v1"


class ClusterError(Exception):
    """The API server said no, or nothing. The message is its own, one line."""


class Gone(ClusterError):
    """What a watch wanted to go on from is forgotten."""


class Conflict(ClusterError):
    """There is an object of that name already."""


class Missing(ClusterError):
    """There is no such object."""


class Forbidden(ClusterError):
    """The account may not do this, or a policy or quota refuses it."""


class Invalid(ClusterError):
    """The server does not take the object as it is."""


class Unreachable(ClusterError):
    """The server does not answer, or answers that it cannot."""


class NotKnown(Unreachable):
    """The server does not take our token: it may have run out, and be renewed."""


_ERRORS: Mapping[int, type[ClusterError]] = {
    401: NotKnown,
    403: Forbidden,
    404: Missing,
    409: Conflict,
    410: Gone,
    400: Invalid,
    422: Invalid,
}


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """The way into an API server. ``authorization`` is a secret: never logged, never shown."""

    url: str
    authorization: str | None
    """A header's value; none where the certificate says who we are."""
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"Entrance(url={self.url!r})"


class Cluster:
    """One API server, as one account, with one namespace in mind. Safe to use from several threads."""

    def __init__(self, place: ClusterPlace) -> None:
        """Raises Unreachable where there is neither a kubeconfig nor an account of a pod."""
        self._client, found = _connect(place)
        self._tls: ssl.SSLContext | None = None
        self.is_within = place.kubeconfig is None and _is_in_cluster()
        """Whether this is a pod of that cluster: pods are reached at their own addresses."""
        self.namespace = place.namespace or found or "default"
        self.requests = 0
        """How many were made: what an API server has to bear of us."""

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def path(self, group: str, plural: str, name: str = "", part: str = "") -> str:
        """The path of a kind (``batch/v1``, ``jobs``), of an object, or of a part of it, in the namespace."""
        prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
        parts = [f"{prefix}/namespaces/{self.namespace}/{plural}", name, part]
        return "/".join(filter(None, parts))

    def version(self) -> str:
        """Of the API server, as it says it (``v1.36.3``). Raises ClusterError."""
        return str(self.get("/version")["gitVersion"])

    def account(self) -> str:
        """The name that the API server knows us by. Raises ClusterError."""
        body = {"apiVersion": _AUTHENTICATION, "kind": "SelfSubjectReview"}
        review = self.create(f"/apis/{_AUTHENTICATION}/selfsubjectreviews", body)
        return str(review["status"]["userInfo"]["username"])

    def may(self, verb: str, resource: str) -> bool:
        """Whether the account may, in the namespace; ``resource`` as kubectl writes it: ``jobs.batch``, ``pods/log``.

        Raises ClusterError.
        """
        name, _, group = resource.partition(".")
        name, _, part = name.partition("/")
        asked = {"verb": verb, "group": group, "resource": name, "subresource": part, "namespace": self.namespace}
        body = {
            "apiVersion": _AUTHORIZATION,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        review = self.create(f"/apis/{_AUTHORIZATION}/selfsubjectaccessreviews", body)
        return bool(review["status"]["allowed"])

    def get(self, path: str, **query: str | int) -> Json:
        """An object or a list. Raises ClusterError."""
        return self._send("GET", path, query=query)

    def text(self, path: str, **query: str | int) -> str:
        """What is no JSON, such as a log. Raises ClusterError."""
        return self._request("GET", path, query=query).decode(errors="replace")

    def create(self, path: str, body: Json) -> Json:
        """Create an object below a kind's path; returns it as the server has it. Raises Conflict, ClusterError."""
        return self._send("POST", path, body=body)

    def warnings(self, path: str, body: Json) -> tuple[str, ...]:
        """What the server would warn of if the object were created. Nothing is made. Raises ClusterError."""
        answer = self._answer("POST", path, query={"dryRun": "All"}, body=body)
        _read(answer)
        said = re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', ", ".join(answer.headers.getlist("Warning")))
        return tuple(re.sub(r"\\(.)", r"\1", each) for each in said)

    def patch(self, path: str, body: Json) -> Json:
        """Merge a change into an object (JSON merge patch). Raises Missing, ClusterError."""
        return self._send("PATCH", path, body=body, content_type="application/merge-patch+json")

    def delete(self, path: str, *, grace_s: int | None = None) -> str | None:
        """Delete an object and what it owns; one that is not there is no error. Raises ClusterError.

        Returns the uid of what is gone at once; None where the server does not say so: it may take its time.
        """
        options: Json = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            answer = self._send("DELETE", path, body=options)
        except Missing:
            return None
        return answer.get("details", {}).get("uid") if answer.get("kind") == "Status" else None

    def apply(self, path: str, body: Json) -> Json:
        """Create an object, or make it what ``body`` says (server-side apply); returns it as the server has it.

        Raises ClusterError.
        """
        query: dict[str, str | int] = {"fieldManager": MANAGER, "force": "true"}
        return self._send("PATCH", path, query=query, body=body, content_type="application/apply-patch+yaml")

    def entrance(self) -> "Entrance":
        """Where and as whom the API server is spoken to by another client, now: a token may be renewed later."""
        settings = self._client.configuration
        token = settings.auth_settings().get("BearerToken", {}).get("value")
        url = str(settings.host).rstrip("/")
        if self._tls is None and url.startswith("https:"):
            self._tls = _tls(settings)
        return Entrance(url=url, authorization=str(token) if token else None, tls=self._tls)

    def watch(
        self, path: str, *, labels: str, version: str, on_open: Callable[[Any], None]
    ) -> Generator[Json, None, None]:
        """The changes after ``version``, as they come, for a minute. Raises Gone, ClusterError.

        ``on_open`` is given the open answer: shutting it down ends the waiting.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        query |= {"labelSelector": labels, "resourceVersion": version}
        answer = self._answer("GET", path, query=query, timeout_s=WATCH_S + SLACK_S)
        on_open(answer)
        try:
            yield from _events(answer)
        except Exception as error:
            if isinstance(error, ClusterError):
                raise
            raise Unreachable(type(error).__name__) from error
        finally:
            # In this order: the connection of a watch that was left half-way is not used again.
            answer.close()
            answer.release_conn()

    def _send(self, method: str, path: str, **given: Any) -> Json:
        try:
            body: Json = json.loads(self._request(method, path, **given))
        except ValueError as error:
            # Something before the API server, such as a page to log in at.
            raise Unreachable("the answer is no JSON") from error
        return body

    def _request(self, method: str, path: str, **given: Any) -> bytes:
        return _read(self._answer(method, path, **given))

    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        from kubernetes.client import ApiException

        self.requests += 1
        request = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=(min(timeout_s, 5), timeout_s))
        except ApiException as error:
            raise Unreachable(str(error.reason)) from error
        except Exception as error:
            # The HTTP library's own errors: no route, refused, broken off, a certificate that is none.
            raise Unreachable(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
        if not 200 <= answer.status <= 299:
            raise _error_of(answer.status, _read(answer.response))
        return answer.response


def since(stamp: str | None) -> float:
    """Seconds since a time as Kubernetes writes it (RFC 3339, UTC); 0 where there is none."""
    if not stamp:
        return 0.0
    return time.time() - datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()


_READING = threading.Lock()
"""The library keeps the certificates of a kubeconfig in files, and hands a file to a second reader before it is
written."""


def _connect(place: ClusterPlace) -> "tuple[ApiClient, str | None]":
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    settings = Configuration()
    # A request that failed is ours to repeat: quietly, and where it is safe.
    settings.retries = False
    try:
        if place.kubeconfig is None and _is_in_cluster():
            config.load_incluster_config(client_configuration=settings)
            return ApiClient(settings), _account_namespace()
        file = str(place.kubeconfig) if place.kubeconfig else None
        with _READING:
            config.load_kube_config(config_file=file, context=place.context, client_configuration=settings)
        contexts, active = config.list_kube_config_contexts(config_file=file)
    except Exception as error:
        # The library's own error, or those of what it reads: no YAML, a certificate that is none.
        raise Unreachable(" ".join(str(error).split())[:300] or type(error).__name__) from error
    chosen = next((each for each in contexts if each["name"] == place.context), active)
    return ApiClient(settings), chosen["context"].get("namespace")


def _is_in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ


_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def _account_namespace() -> str | None:
    with suppress(OSError):
        return Path(_ACCOUNT, "namespace").read_text().strip()
    return None


def _tls(settings: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if not settings.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _read(answer: Any) -> bytes:
    try:
        data: bytes = answer.read()
    except Exception as error:
        raise Unreachable(type(error).__name__) from error
    finally:
        answer.release_conn()
    return data


def _events(answer: Any) -> Iterator[Json]:
    rest = b""
    for chunk in answer.stream(amt=None, decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())


def error_kind(status: int) -> type[ClusterError]:
    """The error that an HTTP status stands for."""
    return _ERRORS.get(status, Unreachable)


def _error_of(status: int, data: bytes) -> ClusterError:
    kind, message = error_kind(status), f"HTTP {status}"
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        said = json.loads(data)
        message = str(said["message"])
        if kind is Conflict and said["reason"] != "AlreadyExists":
            # Two requests crossed, such as two that a quota counted at once: nothing was made.
            kind = Unreachable
        if NOT_READY in message:
            kind = Unreachable
    return kind(" ".join(message.split())[:500])
