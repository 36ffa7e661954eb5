"""Reading of the MLflow model registry: versions and their files; `dbd_ray.registration` writes to it."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from dbd_ray.errors import CheckpointError
from dbd_ray.tracking.runs import tracking_uri
from dbd_ray.tracking.store import reason_of, require_store, store_errors

CHAMPION = "champion"
FINGERPRINT_TAG = "fingerprint"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_NOT_THERE = (_ABSENT, "NOT_FOUND", "INVALID_PARAMETER_VALUE")  # the last for an alias that nobody has set


class RegisteredModel(NamedTuple):
    """One version of a registered model.

    Attributes:
        name: Registered model's name.
        version: Number of the version.
        fingerprint: Fingerprint in its checkpoint's card; empty where it was not registered by dbd_ray.
        run_id: Id of the MLflow run that holds its files.
    """

    name: str
    version: str
    fingerprint: str
    run_id: str

    @property
    def uri(self) -> str:
        """URI of this version, models:/NAME/VERSION."""
        return f"models:/{self.name}/{self.version}"


def find_champion(uri: str, name: str) -> RegisteredModel | None:
    """Look up the version that is `@champion`; None if there is none yet.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    with registry_errors(uri):
        client = MlflowClient(tracking_uri=uri)
        try:
            version = client.get_registered_model(name).aliases.get(CHAMPION)
        except MlflowException as error:
            if error.error_code == _ABSENT:
                return None
            raise
        return as_registered(client.get_model_version(name, str(version))) if version else None


@contextmanager
def downloaded_model(uri: str, registry: str | None = None) -> Iterator[Path]:
    """Fetch the files of a registered model for as long as they are needed.

    Args:
        uri: models:/NAME@ALIAS or models:/NAME/VERSION.
        registry: URI of the registry; None: the one that MLFLOW_TRACKING_URI names.

    Yields:
        A local folder with all of the model's files, which is deleted afterwards.

    Raises:
        CheckpointError: There is no such model.
        ConfigError: The registry, or the store of its files, was not reached or failed.
    """
    registry = registry or tracking_uri()
    require_store(registry)
    with tempfile.TemporaryDirectory(prefix="dbd-ray-") as folder:
        with store_errors(registry, f"{uri} cannot be fetched from the MLflow registry"):
            try:
                local = mlflow.artifacts.download_artifacts(
                    artifact_uri=_source(uri, registry), dst_path=folder, tracking_uri=registry
                )
            except MlflowException as error:
                if error.error_code not in _NOT_THERE:
                    raise
                raise CheckpointError(
                    f"{uri}: not found in the MLflow registry {registry}: {reason_of(error)}"
                ) from None
        yield Path(local)


def _source(uri: str, registry: str) -> str:
    # download_artifacts would look a models:/ URI up in the registry of the environment, whatever it is told
    client = MlflowClient(tracking_uri=registry)
    found = get_model_name_and_version(client, uri)
    if len(found) == 1:  # models:/ID, which MLflow gives to models that are not registered
        return str(client.get_logged_model(*found).artifact_location)
    return str(client.get_model_version_download_uri(*found))


def as_registered(version: ModelVersion) -> RegisteredModel:
    """Turn MLflow's model version into a `RegisteredModel`."""
    fingerprint = str(version.tags.get(FINGERPRINT_TAG, ""))
    return RegisteredModel(str(version.name), str(version.version), fingerprint, str(version.run_id))


def registry_errors(uri: str) -> AbstractContextManager[None]:
    """Turn failures of the registry into a ConfigError that says what to do."""
    return store_errors(uri, "the MLflow registry failed")
