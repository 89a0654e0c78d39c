"""A strategic merge of a user's YAML into a pod template: for what we did not think of.

As ``kubectl patch`` does it: maps are merged, ``null`` deletes, lists of named things are merged by their names, other
lists are replaced. ``$patch: replace`` and ``$patch: delete`` are honoured.
Source: Kubernetes' documentation of strategic merge patch, and the patch merge keys of its API types.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_DIRECTIVE = "$patch"


class OverlayError(Exception):
    """The overlay cannot be merged; ``path`` says where, ``problem`` is a code."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def merge(target: Mapping[str, Any], overlay: Mapping[str, Any], *, path: str = "") -> Json:
    """``target`` with ``overlay`` merged into it; neither is changed. Raises OverlayError."""
    directive = overlay.get(_DIRECTIVE, "merge")
    if directive not in ("merge", "replace"):
        raise OverlayError(f"{path}.{_DIRECTIVE}".lstrip("."), "unknown_directive")
    overlay = {name: value for name, value in overlay.items() if name != _DIRECTIVE}
    if directive == "replace":
        return overlay
    merged: Json = dict(target)
    for name, value in overlay.items():
        where = f"{path}.{name}" if path else name
        before = merged.get(name)
        if value is None or (isinstance(value, Mapping) and value.get(_DIRECTIVE) == "delete"):
            merged.pop(name, None)
            continue
        if before is not None and _kind(before) != _kind(value):
            raise OverlayError(where, f"not_a_{_kind(before)}")
        if isinstance(value, Mapping):
            merged[name] = merge(before or {}, value, path=where)
        elif isinstance(value, list) and name in _MERGE_KEYS:
            merged[name] = _merge_named(before or [], value, _MERGE_KEYS[name], where)
        else:
            merged[name] = value
    return merged


def _merge_named(target: list[Json], overlay: list[Any], key: str, path: str) -> list[Json]:
    merged = {item[key]: item for item in target}
    for place, item in enumerate(overlay):
        where = f"{path}[{place}]"
        if not isinstance(item, Mapping):
            raise OverlayError(where, "not_a_map")
        if item.get(_DIRECTIVE) == "replace":
            merged = {}
            continue
        if key not in item:
            raise OverlayError(where, f"no_{key}")
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = merge(merged.get(item[key], {}), item, path=where)
    return list(merged.values())


def _kind(value: Any) -> str:
    return "map" if isinstance(value, Mapping) else "list" if isinstance(value, list) else "value"
