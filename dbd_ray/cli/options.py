"""Options that many commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", dir_okay=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting; may be given often.")
]


def given(**options: Any) -> dict[str, Any]:
    """Drop the options that were not given."""
    return {name: value for name, value in options.items() if value is not None}
