"""The settings that `--config` and `--set` take, as text below a command's `--help`."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from rich.markup import escape

from dbd_ray.config import RECIPES, Settings, TrainConfig


def settings_help(kind: type[Settings], *, options: Collection[str] = ()) -> str:
    """List settings with their defaults and meanings.

    Args:
        kind: TrainConfig (its recipes' defaults are told as well), PrepareConfig or EvaluateConfig.
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
