"""The deployment that is asked about in a thread: what was typed so far, its fields, and how each is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bot.dialogs.edits import NO, YES
from bot.hosting import (
    DEFAULT_LORA_RANK,
    LARGEST_LORA_RANK,
    MOST_LORAS,
    default_gpus,
    default_loras,
    is_adapter,
    is_cpu_build,
    queue_of,
)
from bot.landing import serving_place, serving_places
from bot.lexicon import Vocabulary, fold
from bot.names import is_experiment_name
from bot.texts import LANGUAGES, texts
from bot.vocabulary import ANYWAY
from bot.world import World
from serving.arguments import ArgumentRefused, parse_arguments
from serving.sizing import Size, defaults
from serving.splitting import possible_cards, undivided
from serving.vllm_command import Build
from storage.models import Model, Thread
from training.checkpoints import CheckpointFacts
from training.places import ClusterPlace

Step = Literal["form", "restart"]
Value = str | int | list[str] | bool | None


class Deployment(BaseModel):
    """Kept in ``threads.deployment``, so that a restart in the middle of it loses nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    token: str
    """Of this one ``/deploy``: a form of an earlier one cannot be submitted to it."""
    model_id: str
    typed: dict[str, str] = Field(default_factory=dict)
    """What the person gave, by field, as typed."""
    is_anyway: bool = False
    """Whether a model is taken whose answers do not end by themselves."""
    agrees_to_restart: bool = False
    open: Step = "form"
    open_key: str = ""
    """The key of the message that asks it."""

    def changed(self, **changes: object) -> "Deployment":
        """The deployment with some fields changed."""
        return self.model_copy(update=changes)

    @property
    def about(self) -> str:
        """The id of the open question."""
        return f"{ABOUT}{self.open}.{self.token}"


ABOUT = "deploy."
"""What the ids of a deployment's questions begin with."""


def read_deployment(thread: Thread) -> Deployment | None:
    """The deployment that is open in a thread."""
    return Deployment.model_validate(thread.deployment) if thread.deployment is not None else None


def write_deployment(thread: Thread, deployment: Deployment | None) -> None:
    """Keep it with its thread, within the caller's transaction."""
    thread.deployment = deployment.model_dump(mode="json") if deployment else None


class WrongValueError(Exception):
    """A field's value that cannot be: ``deploy.wrong.<code>``, or a code of ``serving.arguments``, with ``values``."""

    def __init__(self, code: str, **values: str | int | tuple[int, ...]) -> None:
        super().__init__(code)
        self.code = code
        self.values: Mapping[str, str | int | tuple[int, ...]] = values


SETTING_OF: Mapping[str, str] = {
    "quota": "queue",
    "gpus": "gpus",
    "gpu_product": "gpu_product",
    "cpu": "cpu",
    "memory_gib": "memory_gib",
    "instances": "instances",
    "max_loras": "max_loras",
    "max_lora_rank": "max_lora_rank",
    "arguments": "arguments",
}
"""Field -> its key in ``Host.settings``."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "service": ("service", "place", "quota", "instances", "pinned"),
    "resources": ("gpus", "gpu_product", "cpu", "memory_gib"),
    "server": ("max_loras", "max_lora_rank", "arguments"),
}
"""The form's sections, with the fields in their order."""

LONGEST_READ = 2000
"""Characters of a message that are looked at for fields."""

NUMBERS = ("gpus", "cpu", "memory_gib", "instances", "max_loras", "max_lora_rank")

MOST_INSTANCES = 100

_NAMES: Mapping[str, tuple[str, ...]] = {
    "service": ("service_name", "name", "服务名", "服务"),
    "place": ("location", "namespace", "cluster", "位置", "命名空间", "集群"),
    "quota": ("queue", "算力配额", "队列"),
    "gpus": ("gpu", "cards", "卡数", "物理卡"),
    "gpu_product": ("card", "product", "卡型号", "显卡"),
    "cpu": ("cpus", "cores", "核数", "核"),
    "memory_gib": ("memory", "内存"),
    "instances": ("instance", "replicas", "实例", "副本数", "副本"),
    "max_loras": ("loras",),
    "max_lora_rank": ("lora_rank", "rank", "秩"),
    "arguments": ("args", "vllm_arguments", "参数"),
    "pinned": ("pin", "pinned", "常驻"),
}
"""What else the fields may be called, besides their names and their labels in both languages."""

_ANSWERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("pinned", "yes"): ("pin", "pinned", "常驻"),
    ("pinned", "no"): ("unpin", "not pinned", "不常驻", "取消常驻"),
    ("form", "yes"): ("form", "ask", "表单", "填表"),
    ("restart", "yes"): ("restart", "重启"),
    ("anyway", "yes"): tuple(ANYWAY),
}
"""Words that say everything by themselves. ``form``: the fields are asked for; ``restart``: others may be disturbed;
``anyway``: also a model whose answers do not end by themselves."""

WORDS = frozenset(("form", "restart", "anyway"))
"""Of a line, besides the fields."""

DEFAULT_WORDS = frozenset(("", "default", "none", "默认", "无"))

_QUEUE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"(\d{1,6})\s*(?:gib|gb|gi|g|cores?|cpus?|核|个|张)?")
_PRODUCT = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")


@cache
def vocabulary() -> Vocabulary:
    """How the fields may be called, in both languages."""
    names = {word: word for word in WORDS}
    for name, others in _NAMES.items():
        labels = [texts(language)(f"deploy.field.{name}") for language in LANGUAGES]
        names |= {fold(word): name for word in (name, *labels, *others)}
    answers = {fold(word): answer for answer, words in _ANSWERS.items() for word in words}
    return Vocabulary(names, answers, frozenset(NUMBERS))


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What the fields of a deployment are read against: the model, and where it would be served."""

    world: World
    model: Model
    base: Model
    """What its host is started with."""
    place: str
    """Of the host; empty where there is no choice."""

    @property
    def cluster(self) -> ClusterPlace | None:
        """The place in a cluster; None: this machine."""
        return serving_place(self.world, self.place)

    @property
    def is_cpu_build(self) -> bool:
        """Whether vLLM computes on a CPU there."""
        return is_cpu_build(self.world, self.place)

    @property
    def most_gpus(self) -> int:
        """Of one replica."""
        if self.is_cpu_build:
            return 0
        return self.cluster.cards.per_node if self.cluster else len(self.world.machine.gpus)

    def fields(self) -> tuple[str, ...]:
        """The fields that mean something there, in the form's order."""
        is_cluster, has_gpus = self.cluster is not None, self.most_gpus > 0
        means = {
            "place": len(serving_places(self.world)) > 1,
            "quota": is_cluster,
            "instances": is_cluster,
            "cpu": is_cluster,
            "memory_gib": is_cluster,
            "gpus": has_gpus if is_cluster else self.most_gpus > 1,
            "gpu_product": is_cluster and has_gpus,
            "max_loras": is_adapter(self.model),
            "max_lora_rank": is_adapter(self.model),
        }
        return tuple(name for names in SECTIONS.values() for name in names if means.get(name, True))

    def default(self, name: str) -> Value:
        """What a field is where nothing is given."""
        fields: dict[str, Value] = {
            "place": self.place,
            "quota": queue_of(self.world, self.place),
            "gpus": default_gpus(self.world, self.base, self.place),
            "cpu": self._size().cpu,
            "memory_gib": self._size().memory_gib,
            "instances": 1,
            "max_loras": default_loras(self.world, self.place),
            "max_lora_rank": DEFAULT_LORA_RANK,
            "pinned": False,
        }
        return fields.get(name)

    @property
    def _facts(self) -> CheckpointFacts:
        return CheckpointFacts.from_json(self.base.facts)

    def _size(self) -> Size:
        """What suits the model."""
        return defaults(
            self._facts.size_bytes,
            build=Build.CPU if self.is_cpu_build else Build.CUDA,
            gpus=default_gpus(self.world, self.base, self.place),
        )

    def parse(self, name: str, typed: str) -> Value:
        """A field's value; None: its default. Raises WrongValueError."""
        text = typed.strip()
        if name not in self.fields():
            raise WrongValueError("not_here", field=name)
        if name == "service":
            return _name(text)
        if fold(text) in DEFAULT_WORDS:
            return None
        if name in NUMBERS:
            return self._number(name, text)
        if name == "pinned":
            return _yes_or_no(text)
        if name == "place":
            return self._place(text)
        if name == "quota":
            return _matching(_QUEUE, name, text)
        if name == "gpu_product":
            return self._product(text)
        return _arguments(text)

    def _number(self, name: str, text: str) -> int:
        low, high = self._range(name)
        found = _NUMBER.fullmatch(fold(text))
        if found is None:
            raise WrongValueError("number", field=name, text=text, low=low, high=high)
        if not low <= int(found[1]) <= high:
            raise WrongValueError("range", field=name, text=text, low=low, high=high)
        if name == "gpus":
            self._require_even_split(int(found[1]))
        return int(found[1])

    def _require_even_split(self, cards: int) -> None:
        found = undivided(self._facts, cards)
        if found is not None:
            what, count = found
            possible = possible_cards(self._facts, self.most_gpus)
            raise WrongValueError(
                f"split.{what}", cards=cards, count=count, model=self.base.name, possible=possible, most=possible[-1]
            )

    def _range(self, name: str) -> tuple[int, int]:
        cluster = self.cluster
        if name == "gpus":
            return min(1, self.most_gpus), self.most_gpus
        if name == "cpu":
            return 1, cluster.node_cpu if cluster else self.world.machine.cores
        if name == "memory_gib":
            return 1, cluster.node_memory_gib if cluster else self.world.machine.memory_bytes >> 30
        if name == "max_lora_rank":
            return max(1, int(self.model.facts.get("rank", 0))), LARGEST_LORA_RANK
        return 1, MOST_LORAS if name == "max_loras" else MOST_INSTANCES

    def _place(self, text: str) -> str:
        names = {place.namespace: place.name for place in serving_places(self.world) if place.namespace}
        names |= {place.name: place.name for place in serving_places(self.world)}
        if fold(text) not in names:
            shown = ", ".join(place.name for place in serving_places(self.world))
            raise WrongValueError("place", text=text, names=shown)
        return names[fold(text)]

    def _product(self, text: str) -> str:
        known = self.cluster.cards.products if self.cluster else ()
        found = next((one for one in known if fold(one) == fold(text)), None)
        if known and found is None:
            raise WrongValueError("product", text=text, names=", ".join(known))
        return found or _matching(_PRODUCT, "gpu_product", text)


def shown(value: Value) -> str:
    """A value as it stands in the form."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)


def _name(text: str) -> str:
    if not is_experiment_name(text):
        raise WrongValueError("name", text=text)
    return text


def _yes_or_no(text: str) -> bool:
    if fold(text) not in YES | NO:
        raise WrongValueError("yes_no", field="pinned", text=text)
    return fold(text) in YES


def _arguments(text: str) -> list[str]:
    try:
        return list(parse_arguments(text))
    except ArgumentRefused as refused:
        raise WrongValueError(refused.code, **{name: str(value) for name, value in refused.params.items()}) from refused


def _matching(pattern: re.Pattern[str], name: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise WrongValueError("form", field=name, text=text)
    return text
