"""What is different in a job that `ray job submit` started: its folder is a copy, which Ray deletes."""

import json
import os
from pathlib import Path

from dbd_ray.errors import ConfigError

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray tells the job's driver in it what it was submitted with


def require_lasting(**places: str | None) -> None:
    """Refuse results that would be lost with a submitted job's copy of the working folder.

    Args:
        places: Folder or URI by the name of its setting; None is passed over.

    Raises:
        ConfigError: One is a relative path, and this is such a job.
    """
    job = json.loads(os.environ.get(JOB_CONFIG, "{}"))
    if "working_dir" not in job.get("runtime_env", {}):
        return
    for name, place in places.items():
        if place is not None and "://" not in place and not Path(place).is_absolute():
            raise ConfigError(
                f"{name}: {place} would lie in this job's own copy of the working folder, which Ray deletes; "
                "give a URI, or an absolute path that every node has"
            )


def folder_of_records(storage: str) -> str | None:
    """The folder that MLflow's database would be made in; None where a tracking server is named."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else storage
