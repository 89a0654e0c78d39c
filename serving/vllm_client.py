"""What we ask of a vLLM besides answers, over its HTTP API."""

import ssl
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from threading import Lock

import httpx

from serving.connecting import connecting
from serving.services import AdapterRef, AdapterRefused, Address, ServerUnavailable


class VllmClient:
    """Speaks to any number of vLLM servers; connections are kept. Safe in several threads."""

    def __init__(self, *, answer_s: float = 3, load_s: float = 120) -> None:
        self._timeout = httpx.Timeout(answer_s, connect=1)
        self._load_s = load_s
        self._clients: dict[ssl.SSLContext | None, httpx.Client] = {}
        self._lock = Lock()
        self._under_way = 0
        self._is_closed = False
        weakref.finalize(self, _close_all, self._clients)

    def close(self) -> None:
        """Close the connections, those of requests under way when the last of them has ended.

        Happens by itself when nobody holds the client any more.
        """
        with self._lock:
            self._is_closed = True
            self._close_if_unused()

    def models(self, address: Address) -> frozenset[str]:
        """The names that requests can ask for. Raises ServerUnavailable, also where the engine has died."""
        self._checked(self._request("GET", address, "/health"))
        body = self._checked(self._request("GET", address, "/v1/models")).json()
        return frozenset(str(model["id"]) for model in body["data"])

    def load(self, address: Address, adapter: AdapterRef) -> None:
        """Load an adapter; a loaded one is left. Raises AdapterRefused, ServerUnavailable."""
        body = {"lora_name": adapter.model_id, "lora_path": adapter.folder}
        response = self._request("POST", address, "/v1/load_lora_adapter", json=body)
        if response.status_code == 200 or "already been loaded" in response.text:
            return
        detail = _error_text(response)
        if response.status_code in (401, 403, 503) or "EngineDead" in detail or "EngineCore" in detail:
            raise ServerUnavailable("serving.unavailable")
        code = "serving.adapter_absent" if response.status_code == 404 else "serving.adapter_refused"
        raise AdapterRefused(code, detail=detail)

    def unload(self, address: Address, model_id: str) -> None:
        """Unload an adapter; one that is not loaded is left. Raises ServerUnavailable."""
        response = self._request("POST", address, "/v1/unload_lora_adapter", json={"lora_name": model_id})
        if response.status_code != 404:
            self._checked(response)

    def _request(
        self, method: str, address: Address, path: str, json: Mapping[str, str] | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {address.api_key}", **address.headers}
        timeout = httpx.Timeout(self._load_s, connect=1) if json else httpx.USE_CLIENT_DEFAULT
        try:
            with self._client(address) as client:
                return client.request(method, f"{address.base_url}{path}", headers=headers, json=json, timeout=timeout)
        except httpx.TransportError as exc:
            raise ServerUnavailable("serving.unavailable") from exc

    @contextmanager
    def _client(self, address: Address) -> Iterator[httpx.Client]:
        with self._lock:
            self._under_way += 1
            client = self._clients.get(address.tls)
            if client is None:
                client = self._clients[address.tls] = httpx.Client(**connecting(address), timeout=self._timeout)
        try:
            yield client
        finally:
            with self._lock:
                self._under_way -= 1
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        # Closed under a request that connects just now, httpx would forget that connection and leave it open.
        if self._is_closed and not self._under_way:
            _close_all(self._clients)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code != 200:
            raise ServerUnavailable("serving.unavailable")
        return response


def _close_all(clients: MutableMapping[ssl.SSLContext | None, httpx.Client]) -> None:
    while clients:
        clients.popitem()[1].close()


def _error_text(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, Mapping) else error)
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
