"""Options that many commands have, and the settings behind them as text below a command's `--help`."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from dbd_ray.config import RECIPES, Settings, TrainConfig
from dbd_ray.errors import ConfigError

Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", dir_okay=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting; may be given often.")
]
Model = Annotated[
    str | None,
    typer.Option(help="Packaged model (default: the only one), checkpoint folder, or models:/NAME@ALIAS."),
]


def given(**options: Any) -> dict[str, Any]:
    """Drop the options that were not given."""
    return {name: value for name, value in options.items() if value is not None}


def only_packaged() -> str:
    """Name the model of a command whose option `--model` was not given.

    Raises:
        ConfigError: There is none in this package, or there are several.
    """
    from dbd_ray.checkpoints.find import packaged_models

    names = list(packaged_models())
    if len(names) != 1:
        raise ConfigError(f"model: choose one with --model ({', '.join(names) or 'this package holds none'})")
    return names[0]


def settings_help(kind: type[Settings], *, options: Collection[str] = ()) -> str:
    """List settings with their defaults and meanings.

    Args:
        kind: A command's settings; of TrainConfig the recipes' defaults are told as well.
        options: Settings that the command has options for, and that need no second line here.

    Returns:
        Rich markup, one paragraph.
    """
    lines = ["[bold]Settings for --config and --set[/bold], with their defaults:"]
    recipes = RECIPES if kind is TrainConfig else {}
    for path, field in _fields(kind):
        if path in options:
            continue
        lines.append(f"  [cyan]{path}[/cyan] = {escape(_defaults(path, field, recipes))}")
        if field.description:
            lines.append(f"      {escape(field.description)}")
    return "\n".join(lines)


def _fields(kind: type[Settings], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in kind.model_fields.items():
        kind_of_field = field.annotation
        # the run that a study varies is told by `dbd-ray train --help`
        if isinstance(kind_of_field, type) and issubclass(kind_of_field, Settings) and kind_of_field is not TrainConfig:
            yield from _fields(kind_of_field, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _defaults(path: str, field: FieldInfo, recipes: Mapping[str, Mapping[str, Any]]) -> str:
    own = "(required)" if field.is_required() else _yaml(field.get_default(call_default_factory=True))
    of_recipes = {name: _at(recipe, path) for name, recipe in recipes.items()}
    if all(value is None for value in of_recipes.values()):
        return own
    return ", ".join(f"{own if value is None else _yaml(value)} ({name})" for name, value in of_recipes.items())


def _at(settings: Mapping[str, Any], path: str) -> Any:
    found: Any = settings
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
