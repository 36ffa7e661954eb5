"""`dbd-ray COMMAND`: the commands in the order of `--help`, and the process around one."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dbd_ray import __version__
from dbd_ray.cli import data, doctor, library, models, predict, serve, training
from dbd_ray.cli.console import accept_any_text, say, shown
from dbd_ray.cli.session import present_token
from dbd_ray.cli.signals import stop_by_signals
from dbd_ray.cli.stdout import answers_arrive
from dbd_ray.errors import DbdRayError

NO_HOME = "Could not determine home directory."  # what pathlib says to MLflow and Ray
# Ray and MLflow tell their makers that they are used, unless told not to; who wants that sets these otherwise
NO_REPORTS = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}

# commands that an interruption costs what was under way at most; others begin again
GO_ON = ("teach", "train", "tune", "ablate", "annotate")
BEGIN_AGAIN = ("prepare", "evaluate", "predict", "export", "import")


class Commands(TyperGroup):
    """The commands, of which an interrupted one says what the same command would do."""

    def invoke(self, context: Any) -> Any:
        """Run the command that was given."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            command = context.invoked_subcommand
            then = "; the same command goes on" if command in GO_ON else ""
            then = "; the same command begins again" if command in BEGIN_AGAIN else then
            sys.stderr.write(f"interrupted{then}\n")
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"dbd-ray {__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Defocus blur detection on Ray: which pixels of a photo are in focus."""


app.command(epilog=data.PREPARE_SETTINGS)(data.prepare)
app.command(epilog=data.TEACH_SETTINGS)(data.teach)
app.command(epilog=training.TRAIN_SETTINGS)(training.train)
app.command(epilog=training.TUNE_SETTINGS)(training.tune)
app.command(epilog=training.ABLATE_SETTINGS)(training.ablate)
app.command(epilog=models.EVALUATE_SETTINGS)(models.evaluate)
app.command()(predict.predict)
app.command(epilog=library.ANNOTATE_SETTINGS)(library.annotate)
app.command()(library.query)
app.command()(library.cull)
app.command(epilog=serve.SERVE_SETTINGS)(serve.serve)
app.command()(models.export)
app.command("import")(models.import_)
app.command()(models.models)
app.command()(doctor.doctor)


def _require_folder() -> None:
    """Check that the current folder is there: without, torch's libraries end the process in their own words."""
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same call
    except FileNotFoundError:
        sys.stderr.write("error: the current folder is gone: cd to another one\n")
        raise SystemExit(2) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; a mistake of the user's ends in one clear line, not in a traceback.

    Args:
        arguments: Command and options; those of this process by default.
    """
    accept_any_text()
    _require_folder()
    stop_by_signals()
    present_token()
    for switch, off in NO_REPORTS.items():
        os.environ.setdefault(switch, off)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # read when MLflow is imported; else it lists its tables
    # damaged EXIF says nothing about the pixels, and its lines would break the display of progress
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        with answers_arrive():
            app(args=None if arguments is None else list(arguments), prog_name="dbd-ray")
    except DbdRayError as error:
        sys.stderr.write(f"error: {shown(str(error))}\n")
        raise SystemExit(2) from None
    except RuntimeError as error:
        if str(error) != NO_HOME:
            raise
        sys.stderr.write("error: this user has no home folder: set HOME to a folder that it may write to\n")
        raise SystemExit(2) from None
