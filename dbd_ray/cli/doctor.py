"""The command that looks at this machine (`doctor`)."""

import typer

from dbd_ray.cli.checkup import engines, machine, packages, places, surroundings
from dbd_ray.cli.checkup.finding import Check, run_check
from dbd_ray.cli.console import say, show_table

CHECKS: dict[str, Check] = {
    "Python": machine.find_python,
    "processor": machine.find_processor,
    "memory": machine.find_memory,
    "GPU": machine.find_gpu,
    "models": engines.find_models,
    "engines": engines.find_engines,
    "extras": packages.find_extras,
    "Ray": surroundings.find_ray,
    "dashboards": surroundings.find_dashboards,
    "ports": surroundings.find_ports,
    "Ray's token": surroundings.find_tokens,
    "endpoint's keys": surroundings.find_keys,
    "MLflow": places.find_store,
    "folders": places.find_folders,
    "engines' cache": places.find_cache,
    "HF_HOME": places.find_hub_cache,
    "Ray's folder": places.find_temporary,
    "shared memory": places.find_shared_memory,
}
"""By what they are about, in the order of the table."""


def doctor() -> None:
    """Look at this machine and show what the commands find on it, for instance for a report of a bug.

    One table: ok, note (worth knowing), or fault (does not work, with what to do). The exit status is 1 where there is
    a fault, else 0. Nothing is started, downloaded, or left behind, and secrets are masked.
    """
    found = [finding for name, check in CHECKS.items() for finding in run_check(name, check)]
    show_table(("about", "state", "found"), found)
    faults = sum(finding.state == "fault" for finding in found)
    say(f"{faults} fault{'' if faults == 1 else 's'}" if faults else "no faults", aside=True)
    raise typer.Exit(1 if faults else 0)
