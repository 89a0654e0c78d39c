"""Several places behind one port: a host goes to its own, and what all of them say is joined."""

from collections.abc import Mapping

from serving.services import AdapterRef, HostSpec, HostStatus, ModelServer, ServerUnavailable


class SeveralServers:
    """Implements :class:`serving.services.ModelServer` over the servers of several places, by name."""

    def __init__(self, places: Mapping[str, ModelServer]) -> None:
        self._places = dict(places)
        self._where: dict[str, str] = {}
        """Host -> its place, from the wish or from a look."""

    def start(self, host: HostSpec) -> None:
        """Start it at its place; one that stood elsewhere is stopped there. Raises ServerUnavailable."""
        if host.place not in self._places:
            raise ServerUnavailable("serving.no_place", place=host.place)
        before = self._where.get(host.id, host.place)
        if before != host.place:
            self._places[before].stop(host.id)
        self._where[host.id] = host.place
        self._places[host.place].start(host)

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts of all places."""
        found: dict[str, HostStatus] = {}
        for name, server in self._places.items():
            statuses = server.observe()
            self._where |= dict.fromkeys(statuses, name)
            found |= statuses
        return found

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter where the host is. Raises AdapterRefused, ServerUnavailable."""
        self._server(host).load(host, adapter)

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter where the host is. Raises ServerUnavailable."""
        self._server(host).unload(host, model_id)

    def rest(self, host: str) -> None:
        """Let it rest where it is; nothing where that is not known. Raises ServerUnavailable."""
        if host in self._where:
            self._server(host).rest(host)

    def stop(self, host: str) -> None:
        """Stop it where it is; where that is not known, wherever it may be. Raises ServerUnavailable."""
        for server in [self._server(host)] if host in self._where else list(self._places.values()):
            server.stop(host)
        self._where.pop(host, None)

    def _server(self, host: str) -> ModelServer:
        if host not in self._where:
            raise ServerUnavailable("serving.unavailable")
        return self._places[self._where[host]]
