"""What ``tunesmith manifest`` prints: the Kubernetes objects that the tasks of a plan, or the server of a model, would
become. Nothing is sent.
"""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console
from ruamel.yaml import YAML

from bot.checks import REFUSALS, check_task, refusal
from bot.dialogs.wording import finding_sentence
from bot.hosting import served_context
from bot.places import read_places
from bot.plans import PlanFile, PlanFileError, find_checkpoint, read_plan
from bot.settings import Settings
from bot.stopping import CannotGoOnError
from bot.texts import Texts
from serving.manifest import Sources, deployment, fitting_size, owned, serving_of
from serving.services import HostSpec
from serving.splitting import fewer_cards
from serving.vllm_command import DEFAULT_LORAS, Build
from training.base_copies import copy_key
from training.checkpoints import inspect_checkpoint
from training.manifest import example_attempt, job, job_name, service
from training.places import ClusterPlace, Json
from training.runs import Attempt
from training.spec import TrainingSpec
from training.trainer.request import ARTIFACT

RUN = "example"
"""In place of a run's id, which is made when it starts."""
UID = "<the Job's uid>"
HOST = "example"
"""In place of a model server's id."""
OWNER_UID = "<the Deployment's uid>"
KEY = "<the model server's key>"
"""Made of the server's secret and the model server's id; a part of the Secret's name is a digest of it."""


def print_manifest(path: Path, *, place: str | None, settings: Settings, text: Texts) -> int:
    """Print the Job and the Service of every task as YAML; 1 where `experiment check` refuses it, the reason on stderr.

    ``place``: by name, where it is not the plan's own. Raises CannotGoOnError where trainings run on this machine.
    """
    places = read_places(settings)
    if not places:
        raise CannotGoOnError("print_manifest")
    try:
        tasks = [replace(task, place=place or task.place) for task in read_plan(path)]
        checked = [check_task(task, settings) for task in tasks]
    except REFUSALS as error:
        return _refuse(refusal(error, text)[0])
    refused = [finding for *_, findings in checked for finding in findings if finding.severity == "refuse"]
    if refused:
        return _refuse(*(finding_sentence(text, finding) for finding in refused))
    bucket = str(settings.artifacts_root) if settings.is_bucket else None
    for number, (task, (plan, *_)) in enumerate(zip(tasks, checked, strict=True), 1):
        attempt = attempt_of(task, plan.spec, settings, number=number if len(tasks) > 1 else None)
        there = task.find_place(places) or places[0]
        _print((job(attempt, there, bucket=bucket), ""), (_service(attempt, there), text("manifest.service")))
    return 0


def print_serving_manifest(model: str, *, place: str | None, settings: Settings, text: Texts) -> int:
    """Print the Deployment of a base model's server, and what it owns, as YAML; 1 without such a model or place, the
    reason on stderr.

    ``model``: of the home's models by name, or a folder; ``place``: by name, else the first that serves models. Raises
    CannotGoOnError where models are served on this machine.
    """
    places = {one.name: one for one in read_places(settings) if one.serving is not None}
    if not places:
        raise CannotGoOnError("print_serving_manifest")
    try:
        if place is not None and place not in places:
            raise PlanFileError("no_place", name=place, names=", ".join(places))
        there = places[place] if place is not None else next(iter(places.values()))
        host = example_host(find_checkpoint(model, settings.models_folder, Path.cwd()), there)
    except REFUSALS as error:
        return _refuse(refusal(error, text)[0])
    bucket = str(settings.artifacts_root) if settings.is_bucket else None
    sources = Sources(artifact=str(host.artifact), bucket=bucket)
    body = deployment(host, there, sources, size=fitting_size(host, there), key=KEY)
    owner = {"metadata": {"name": body["metadata"]["name"], "uid": OWNER_UID}}
    others = owned(host, there, sources, owner=owner, key=KEY).values()
    _print((body, ""), *((other, text("manifest.owned")) for other in others))
    return 0


def example_host(folder: Path, place: ClusterPlace) -> HostSpec:
    """The server of a base model as a first ``/deploy`` would have it. Raises CheckpointError."""
    facts, serving, name = inspect_checkpoint(folder), serving_of(place), folder.name.lower()
    gpus = 0 if serving.build == "cpu" else serving.gpus
    return HostSpec(
        id=HOST,
        base_model=str(folder),
        base_name=name,
        context_tokens=served_context(facts, gpus=gpus),
        max_loras=DEFAULT_LORAS[Build(serving.build)],
        gpus=fewer_cards(facts, gpus),
        place=place.name,
        artifact=copy_key(folder),
        weights_bytes=facts.size_bytes,
        queue=serving.queue,
        about={"base": name},
    )


def attempt_of(task: PlanFile, spec: TrainingSpec, settings: Settings, *, number: int | None = None) -> Attempt:
    """The first attempt of a task, as a run of the chat would have it; ``number``: of several. Raises PlanFileError."""
    ending = f"-{number}" if number else ""
    about = {"experiment": task.experiment, "task": task.experiment + ending, "owner": RUN}
    base = copy_key(task.checkpoint(settings.models_folder))
    return replace(example_attempt(spec, name=RUN + ending, about=about), base_model=ARTIFACT + base)


def _service(attempt: Attempt, place: ClusterPlace) -> Json:
    return service(attempt, place, owner={"metadata": {"name": job_name(attempt.id), "uid": UID}})


def _print(*objects: tuple[Json, str]) -> None:
    """Each with its comment."""
    console = Console(highlight=False, soft_wrap=True)
    for body, comment in objects:
        console.out(_yaml(body, comment=comment), end="", highlight=False)


def _yaml(body: Json, *, comment: str = "") -> str:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    # What stands at two places of the object is written twice, not referred to.
    yaml.representer.ignore_aliases = lambda _: True
    stream = StringIO()
    yaml.dump(body, stream)
    head = f"# {comment}\n" if comment else ""
    return f"---\n{head}{stream.getvalue()}"


def _refuse(*sentences: str) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for sentence in sentences:
        console.out(f"! {sentence}", highlight=False)
    return 1
