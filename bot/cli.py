"""The command line, ``tunesmith``. Everything heavy is imported by the command that needs it."""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from bot.settings import read_settings
from bot.stopping import CannotGoOnError
from bot.texts import Texts, nearest_language, texts

app = typer.Typer(
    name="tunesmith",
    help="Drop a data set into a chat, answer a few questions, talk to your own model in the same thread.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dataset = typer.Typer(help="Data sets.", no_args_is_help=True)
experiment = typer.Typer(help="Plans of experiments.", no_args_is_help=True)
slack = typer.Typer(help="The Slack app.", no_args_is_help=True)
database = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(dataset, name="dataset")
app.add_typer(experiment, name="experiment")
app.add_typer(slack, name="slack")
app.add_typer(database, name="db")

Home = Annotated[Path | None, typer.Option(help="Where everything is kept; default ~/.tunesmith, or TUNESMITH_HOME.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

WEB_FACE = "chainlit_app.server"
"""Found by name: the web face stands above this package, which may not import it."""


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Where to listen: an address of this machine alone.")] = None,
    open_endpoint: Annotated[
        bool | None,
        typer.Option(
            "--open-endpoint",
            help="Let other machines in too, but not to the web chat: programs with a key (/v1), and Slack.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default 8000; 0: any free one.")] = None,
    home: Home = None,
) -> None:
    """Start the server: the web chat, the trainings and the model servers."""
    # Process 1 of a container is told to end in vain where it does not listen. Once it serves, the server listens.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from bot.locks import server_lock
    from bot.logs import configure_logs

    settings = read_settings(host=host, open_endpoint=open_endpoint, port=port, home=home)
    with server_lock(settings):
        configure_logs(settings)
        importlib.import_module(WEB_FACE).serve(settings)


@app.command()
def chat(
    thread: Annotated[str | None, typer.Option(help="Go on with a thread; without it a new one begins.")] = None,
    language: Annotated[str | None, typer.Option(help="en or zh; default: the terminal's.")] = None,
    home: Home = None,
) -> None:
    """Talk in the terminal; from a pipe every line is a message. @PATH attaches a file, /wait waits, /quit ends."""
    from bot.logs import configure_logs
    from bot.terminal.main import chat as talk

    settings = read_settings(home=home)
    configure_logs(settings, process="terminal")
    spoken = nearest_language(language) if language else language_of_terminal()
    raise typer.Exit(asyncio.run(talk(settings, thread=thread, language=spoken)))


@dataset.command("check")
def check_dataset(
    file: Annotated[Path, typer.Argument(help="A .json or .jsonl file.")], as_json: AsJson = False
) -> None:
    """Check every row of a file; exit 1 when it cannot be trained as it is."""
    from bot.checks import check_dataset as check

    raise typer.Exit(check(file, as_json=as_json, text=terminal_texts()))


@experiment.command("check")
def check_experiment(
    plan: Annotated[Path, typer.Argument(help="A YAML file with the names that `tunesmith parameters` lists.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check a plan against its data, its base model and this machine; exit 1 when it cannot be started."""
    from bot.checks import check_experiment as check

    raise typer.Exit(check(plan, settings=read_settings(home=home), as_json=as_json, text=terminal_texts()))


@app.command()
def parameters(as_json: AsJson = False) -> None:
    """List every parameter of a training: range, default and what it is for."""
    from bot.checks import list_parameters

    list_parameters(as_json=as_json, text=terminal_texts())


@app.command()
def manifest(
    plan: Annotated[
        Path | None, typer.Argument(help="A YAML file, as `tunesmith experiment check` takes it.", show_default=False)
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="In place of a plan: a base model to be served, by its name or folder."),
    ] = None,
    place: Annotated[
        str | None, typer.Option(help="One of several places; default: the plan's, else the first.")
    ] = None,
    home: Home = None,
) -> None:
    """Print as YAML what would be sent to the Kubernetes cluster for a plan or a model's server; none is needed."""
    from bot.manifests import print_manifest, print_serving_manifest

    if (plan is None) == (serve is None):
        raise typer.BadParameter("give a plan, or a model with --serve")
    settings, text = read_settings(home=home), terminal_texts()
    if plan is not None:
        raise typer.Exit(print_manifest(plan, place=place, settings=settings, text=text))
    raise typer.Exit(print_serving_manifest(str(serve), place=place, settings=settings, text=text))


@slack.command("manifest")
def slack_manifest(
    address: Annotated[
        str | None, typer.Option(help="The server's public address, for HTTP; without it the app uses Socket Mode.")
    ] = None,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="To be installed in several workspaces, by its install page.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the app's manifest, to be pasted where Slack asks for one when an app is made."""
    from bot.slack.manifest import as_json_text, as_yaml, manifest

    content = manifest(address=address, is_distributed=distributed)
    typer.echo(as_json_text(content) if as_json else as_yaml(content), nl=False)


@database.command("upgrade")
def upgrade_database(home: Home = None) -> None:
    """Bring the database up to date."""
    from bot.databases import bring_up_to_date

    asyncio.run(bring_up_to_date(read_settings(home=home)))


@app.command()
def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Look at everything Tunesmith needs here, and say what to do; exit 1 when something is bad."""
    from bot.doctor import diagnose, print_diagnosis

    findings = asyncio.run(diagnose(read_settings(home=home)))
    print_diagnosis(findings, as_json=as_json, text=terminal_texts())
    raise typer.Exit(int(any(finding.state == "bad" for finding in findings)))


def language_of_terminal() -> str:
    """Our language for the locale of the environment."""
    wanted = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return nearest_language(next(filter(None, wanted), "en"))


def terminal_texts() -> Texts:
    """The sentences for whoever typed the command."""
    return texts(language_of_terminal())


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with one sentence and exit code 1 for what is wrong here; a bug keeps its trace."""
    try:
        yield
    except CannotGoOnError as error:
        fail(error.code, **error.values)
    except ValidationError as error:
        # What is derived from a setting that is wrong is not wrong itself.
        problems = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
        fail("read_settings", problems="; ".join(map(_setting_problem, problems)))
    except PermissionError as error:
        fail("write", path=str(error.filename))
    except KeyboardInterrupt:
        sys.exit(130)


def _setting_problem(problem: Any) -> str:
    name = "_".join(str(part) for part in problem["loc"])
    return f"TUNESMITH_{name.upper()}: {problem['msg']}"


def fail(code: str, **values: object) -> None:
    """Say on stderr why it cannot go on, and exit."""
    typer.echo(terminal_texts()(f"cannot.{code}", **values), err=True)
    sys.exit(1)


def main() -> None:
    """Run the command line."""
    with plain_errors():
        app(prog_name="tunesmith")


if __name__ == "__main__":
    main()
