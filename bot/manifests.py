"""What ``tunesmith manifest`` prints: the Kubernetes objects that the tasks of a plan would become. Nothing is sent."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console
from ruamel.yaml import YAML

from bot.checks import REFUSALS, check_task, refusal
from bot.dialogs.wording import finding_sentence
from bot.places import read_places
from bot.plans import PlanFile, read_plan
from bot.settings import Settings
from bot.stopping import CannotGoOnError
from bot.texts import Texts
from training.base_copies import copy_key
from training.manifest import example_attempt, job, job_name, service
from training.places import ClusterPlace, Json
from training.runs import Attempt
from training.spec import TrainingSpec
from training.trainer.request import ARTIFACT

RUN = "example"
"""In place of a run's id, which is made when it starts."""
UID = "<the Job's uid>"


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
    console = Console(highlight=False, soft_wrap=True)
    for number, (task, (plan, *_)) in enumerate(zip(tasks, checked, strict=True), 1):
        attempt = attempt_of(task, plan.spec, settings, number=number if len(tasks) > 1 else None)
        there = task.find_place(places) or places[0]
        console.out(_yaml(job(attempt, there, bucket=bucket)), end="", highlight=False)
        console.out(_yaml(_service(attempt, there), comment=text("manifest.service")), end="", highlight=False)
    return 0


def attempt_of(task: PlanFile, spec: TrainingSpec, settings: Settings, *, number: int | None = None) -> Attempt:
    """The first attempt of a task, as a run of the chat would have it; ``number``: of several. Raises PlanFileError."""
    ending = f"-{number}" if number else ""
    about = {"experiment": task.experiment, "task": task.experiment + ending, "owner": RUN}
    base = copy_key(task.checkpoint(settings.models_folder))
    return replace(example_attempt(spec, name=RUN + ending, about=about), base_model=ARTIFACT + base)


def _service(attempt: Attempt, place: ClusterPlace) -> Json:
    return service(attempt, place, owner={"metadata": {"name": job_name(attempt.id), "uid": UID}})


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
