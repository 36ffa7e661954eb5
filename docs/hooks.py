"""Pages of the documentation site that are generated: commands, Python interface, settings, and files of the root.

MkDocs calls `on_files` and `on_page_markdown`, see `hooks` in mkdocs.yml. Everything comes from the installed package,
so that nothing here has to be kept in step with it.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard, get_args

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from rich.text import Text

import dbd_ray.config
import dbd_ray.errors
from dbd_ray.cli import app
from dbd_ray.config import Settings
from dbd_ray.metrics.definitions import METRIC_DEFINITIONS

ROOT = Path(__file__).parents[1]

# files outside docs/ that are part of the site, by their place there
FROM_ROOT = {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md"}
CODE_OR_LINK = r"(?P<code>^```.*?^```|`[^`\n]+`)|(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)"
PICTURES_FROM_ROOT = {"benchmarks/results/robustness.png": "images/robustness.png"}

PYTHON = {
    "The package": ("dbd_ray",),
    "Errors": ("dbd_ray.errors",),
    "Summaries": ("dbd_ray.summary:SharpArea", "dbd_ray.summary:Summary"),
    "Pixels": (
        *("dbd_ray.images", "dbd_ray.images.encode", "dbd_ray.images.overlay"),
        *("dbd_ray.images.refine", "dbd_ray.images.tiles", "dbd_ray.storage"),
    ),
    "Metrics": ("dbd_ray.metrics",),
    "Networks and engines": ("dbd_ray.models", "dbd_ray.engines"),
}
PIPELINES = {
    "Training": ("dbd_ray.training", "dbd_ray.training.trainer:train"),
    "Serving": ("dbd_ray.serving", "dbd_ray.serving.application:build"),
    "Client": ("dbd_ray.client",),
    "What the commands call": (
        *("dbd_ray.datasets.prepare:prepare_from", "dbd_ray.teaching.job:teach", "dbd_ray.evaluation.run:evaluate"),
        *(
            "dbd_ray.library.job:open_library",
            "dbd_ray.library.job:annotate",
            "dbd_ray.library.query:ask",
            "dbd_ray.library.cull:cull_page",
        ),
        *("dbd_ray.detection.files:predict_files", "dbd_ray.tuning.sweep:search", "dbd_ray.tuning.paper:ablate"),
    ),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of docs/."""
    generated = {
        "reference/commands.md": commands_page(),
        "reference/python.md": api_page("Python", PYTHON),
        "reference/pipelines.md": api_page("Pipelines, serving, client", PIPELINES),
        "reference/settings.md": settings_page(),
        **{there: (ROOT / here).read_text(encoding="utf-8") for here, there in FROM_ROOT.items()},
    }
    for place, text in generated.items():
        files.append(File.generated(config, place, content=text))
    for here, there in PICTURES_FROM_ROOT.items():
        files.append(File.generated(config, there, abs_src_path=str(ROOT / here)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; links to other files become their names."""
    places = FROM_ROOT | PICTURES_FROM_ROOT
    up = "../" * page.file.src_uri.count("/")

    def link(found: re.Match[str]) -> str:
        if found["code"]:  # `handlers[name](request)` is no link
            return found[0]
        image, text, target = found["image"], found["text"], found["target"]
        path, _, anchor = target.partition("#")
        start = ROOT if page.file.src_uri in FROM_ROOT.values() else ROOT / "docs" / Path(page.file.src_uri).parent
        full = (start / path).resolve()
        if "://" in target or not path or not full.is_relative_to(ROOT):
            return found[0]
        name = full.relative_to(ROOT).as_posix()
        place = places.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else None)
        if place is None:
            return f"{text} (`{name}`)" if text.strip("`") != name else f"`{name}`"
        return f"{image}[{text}]({up}{place}{'#' if anchor else ''}{anchor})"

    return re.sub(CODE_OR_LINK, link, markdown, flags=re.MULTILINE | re.DOTALL)


def commands_page() -> str:
    """Describe every command from its own definition, the one that `--help` prints."""
    group: Any = typer.main.get_command(app)  # a group of click, or of the copy of click that newer Typer carries
    lines = ["# Commands", "", f"{group.help} Every command has `--help`, which says what is below.", ""]
    for name, command in sorted(group.commands.items()):
        lines += [f"## dbd-ray {name}", "", *_command_help(command.help or ""), ""]
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        lines += [
            _row(*_parameter(parameter)) for parameter in command.params if not getattr(parameter, "hidden", False)
        ]
        if command.epilog:
            settings = Text.from_markup(command.epilog).plain.splitlines()
            lines += ["", f'??? note "{settings[0].rstrip(":")}"', "", "    ```text"]
            lines += [f"    {line}".rstrip() for line in settings[1:]] + ["    ```"]
        lines.append("")
    return "\n".join(lines)


def _command_help(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).replace("\\[", "[").split("\n\n"):
        if paragraph.startswith("dbd-ray "):
            yield from ("```sh", paragraph, "```", "")
        else:
            yield from (paragraph, "")


def _parameter(parameter: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = "" if parameter.default in (None, False, ()) or callable(parameter.default) else f"`{parameter.default}`"
    return names, "required" if parameter.required else default, str(getattr(parameter, "help", "") or "")


def settings_page() -> str:
    """Describe every settings model by its fields."""
    lines = [
        "# Settings",
        "",
        "What YAML files (`--config`), `--set a.b=c` and Python take: frozen pydantic models of `dbd_ray.config`. An "
        "unknown setting, and one that would have no effect beside the others, is an error.",
        "",
    ]
    models = [one for one in map(dbd_ray.config.__dict__.get, dbd_ray.config.__all__) if _is_model(one)]
    for model in models:
        lines += [f"## {model.__name__}", "", inspect.cleandoc(model.__doc__ or ""), ""]
        lines += ["| setting | default | meaning |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            meaning = field.description or ""
            kind: Any = field.annotation
            if _is_model(kind) and kind in models:
                default, meaning = "", f"{meaning} [{kind.__name__}](#{kind.__name__.lower()})".strip()
            else:
                default = "required" if field.is_required() else _plain(field.get_default(call_default_factory=True))
            if not meaning and (choices := [one for one in get_args(kind) if isinstance(one, str)]):
                meaning = "One of " + ", ".join(f"`{one}`" for one in choices) + "."
            lines.append(_row(f"`{name}`", default, meaning))
        lines.append("")
    return "\n".join(lines)


def _is_model(kind: Any) -> TypeGuard[type[Settings]]:
    return isinstance(kind, type) and issubclass(kind, Settings) and kind is not Settings


def _plain(value: Any) -> str:
    if isinstance(value, Settings):
        value = value.model_dump(mode="json")
    return f"`{value if isinstance(value, str) else json.dumps(value, default=str)}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def api_page(title: str, parts: dict[str, tuple[str, ...]]) -> str:
    """List what mkdocstrings describes: `module` stands for what it offers, `module:name` for one name."""
    lines = [f"# {title}", ""]
    for heading, places in parts.items():
        lines += [f"## {heading}", ""]
        for place in places:
            for name in _offered(place):
                lines += [f"::: {name}", "    options: {heading_level: 3}", ""]
        if "dbd_ray.metrics" in places:
            lines += ["| metric | definition |", "|---|---|"]
            lines += [_row(f"`{name}`", definition) for name, definition in METRIC_DEFINITIONS.items()]
            lines.append("")
    return "\n".join(lines)


def _offered(place: str) -> Iterator[str]:
    module_name, _, one = place.partition(":")
    module = import_module(module_name)
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module_name and callable(value)
    ]
    for name in [one] if one else getattr(module, "__all__", own):
        value = getattr(module, name)
        defined: Callable[..., Any] = getattr(value, "func_or_class", value)  # of a Serve deployment
        elsewhere = module_name == "dbd_ray" and defined in vars(dbd_ray.errors).values()  # on the page of errors
        if callable(defined) and hasattr(defined, "__qualname__") and not elsewhere:
            yield f"{defined.__module__}.{defined.__qualname__}"
