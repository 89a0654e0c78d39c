"""A plan as a file: flat YAML with the names of the form; what differs from task to task stands under ``tasks``.

::

    experiment: support
    base_model: smollm2-135m-instruct    # of the home's models, or a folder
    dataset: support.jsonl               # beside this file
    preset: quick
    place: beijing                       # of several places; without it, the first
    learning_rate: 1e-4
    fill.name: Nova
    tasks:
      - lora_rank: 8
      - lora_rank: 16
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidfuzz import process
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from training.places import ClusterPlace
from training.presets import InvalidPlan, Preset
from training.spec import PARAMETERS, InvalidValue, Value, parse_value

KEYS = ("experiment", "base_model", "dataset", "place", "preset", "deploy")
"""What a plan holds besides parameters, fills and tasks."""


class PlanFileError(Exception):
    """The file is no plan: ``plan_file.<code>`` of the texts says why."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """One task of a plan's file."""

    experiment: str
    """Its name; the data set's where the file gives none."""
    base_model: str
    dataset: Path
    place: str | None
    """By name; none: the first one, or this machine."""
    preset: Preset
    values: Mapping[str, Value]
    fills: Mapping[str, str]
    folder: Path
    """Where the file stands."""

    def checkpoint(self, models: Path) -> Path:
        """The base model's folder: below ``models`` by its name, or as a path from where the file stands."""
        return find_checkpoint(self.base_model, models, self.folder)

    def find_place(self, places: Sequence[ClusterPlace]) -> ClusterPlace | None:
        """The plan's one of ``places``; the first where it names none, None where there are none."""
        if self.place is None:
            return next(iter(places), None)
        if not places:
            raise PlanFileError("no_places", name=self.place)
        for place in places:
            if place.name == self.place:
                return place
        raise PlanFileError("no_place", name=self.place, names=", ".join(place.name for place in places))


def find_checkpoint(name: str, models: Path, beside: Path) -> Path:
    """A base model's folder: below ``models`` by its name, or as a path from ``beside``. Raises PlanFileError."""
    for folder in (models / name, beside / Path(name).expanduser()):
        if (folder / "config.json").is_file():
            return folder.absolute()
    raise PlanFileError("no_model", name=name)


def read_plan(path: Path) -> tuple[PlanFile, ...]:
    """The tasks of a file, each as a whole. Raises PlanFileError, and InvalidPlan for values that cannot be."""
    whole = _mapping(_load(path))
    tasks = whole.pop("tasks", None) or [{}]
    if not isinstance(tasks, list):
        raise PlanFileError("tasks_no_list")
    return tuple(_task(whole | _mapping(task), path.parent) for task in tasks)


def _load(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise PlanFileError("missing", path=str(path)) from None
    except (OSError, UnicodeDecodeError):
        raise PlanFileError("unreadable", path=str(path)) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PlanFileError("no_yaml", line=line, problem=str(error.problem)) from None
    except YAMLError as error:
        raise PlanFileError("no_yaml", line=1, problem=str(error)) from None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlanFileError("no_mapping")
    return {str(name): entry for name, entry in value.items()}


def _task(entries: dict[str, Any], folder: Path) -> PlanFile:
    fills = {str(name): str(value) for name, value in _mapping(entries.pop("fill", {})).items()}
    fills |= {name[5:]: str(entries.pop(name)) for name in list(entries) if name.startswith("fill.")}
    for name in entries:
        if name not in KEYS and name not in PARAMETERS:
            raise PlanFileError("unknown", name=name, nearest=_nearest(name))
    for name in ("base_model", "dataset"):
        if not entries.get(name):
            raise PlanFileError("lacks", name=name)
    preset = str(entries.get("preset", Preset.BALANCED)).lower()
    if preset not in list(Preset):
        raise PlanFileError("no_preset", preset=preset, presets=", ".join(Preset))
    return PlanFile(
        experiment=str(entries.get("experiment") or Path(str(entries["dataset"])).stem),
        base_model=str(entries["base_model"]),
        dataset=_dataset(folder / Path(str(entries["dataset"])).expanduser()),
        place=str(entries["place"]) if entries.get("place") else None,
        preset=Preset(preset),
        values=_values(entries),
        fills=fills,
        folder=folder,
    )


def _dataset(path: Path) -> Path:
    if not path.is_file():
        raise PlanFileError("no_dataset", path=str(path))
    return path


def _values(entries: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    problems: list[InvalidValue] = []
    for name in PARAMETERS:
        if name in entries:
            try:
                values[name] = parse_value(name, "none" if entries[name] is None else str(entries[name]))
            except InvalidValue as problem:
                problems.append(problem)
    if problems:
        raise InvalidPlan(tuple(problems))
    return values


def _nearest(name: str) -> str:
    found = process.extractOne(name, [*KEYS, "fill", "tasks", *PARAMETERS])
    return found[0] if found else ""
