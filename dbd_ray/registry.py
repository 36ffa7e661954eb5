"""The MLflow model registry: a trained model goes in as `@candidate`, and the best one known is `@champion`."""

import atexit
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.types import ColSpec, DataType, Schema

from dbd_ray import __version__, pyfunc
from dbd_ray.checkpoints import CARD, WEIGHTS, Card, find_weights, read_card
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.images.encode import encode_photo
from dbd_ray.tracking import RunLog, tracking_uri

CANDIDATE, CHAMPION = "candidate", "champion"
MODEL_FOLDER = "model"  # among the artifacts of a run
FINGERPRINT_TAG = "fingerprint"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_PRESENT = "RESOURCE_ALREADY_EXISTS"


class RegisteredModel(NamedTuple):
    """One version of a registered model.

    Attributes:
        name: Of the registered model.
        version: Its number.
        fingerprint: That of its checkpoint's card.
        run_id: The MLflow run that holds its files.
    """

    name: str
    version: str
    fingerprint: str
    run_id: str

    @property
    def uri(self) -> str:
        """What `Detector.load` takes."""
        return f"models:/{self.name}/{self.version}"


def log_model(log: RunLog, checkpoint: Path) -> None:
    """Store a checkpoint in a run as an MLflow model, with signature, input example and card.

    Args:
        log: The run; a model that it holds already is replaced.
        checkpoint: Local checkpoint folder.

    Raises:
        CheckpointError: The checkpoint is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_model(checkpoint, Path(folder) / MODEL_FOLDER, log.run_id)
        log.files(Path(folder))


def register(log: RunLog, card: Card, name: str) -> RegisteredModel:
    """Make the model of a run the newest version, unless it is registered already, and `@candidate`.

    Args:
        log: The run that `log_model` stored the model in.
        card: Of that model.
        name: Of the registered model, which is made if need be.

    Returns:
        The version; on a run that was registered before, e.g. when it was resumed, the one that it has.
    """
    client = _client(log.uri)
    version = _version_of_run(client, log, card, name)
    candidate = client.get_registered_model(name).aliases.get(CANDIDATE)
    if candidate is None or int(candidate) < int(version.version):  # a run resumed late must not push a newer one out
        client.set_registered_model_alias(name, CANDIDATE, version.version)
    return version


def find_champion(uri: str, name: str) -> RegisteredModel | None:
    """Look up the version that is `@champion`; None if there is none yet.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    with _registry_errors(uri):
        client = _client(uri)
        try:
            version = client.get_registered_model(name).aliases.get(CHAMPION)
        except MlflowException as error:
            if error.error_code == _ABSENT:
                return None
            raise
        return _registered(client.get_model_version(name, str(version))) if version else None


def promote(log: RunLog, checkpoint: Path, name: str, reasons: Mapping[str, Any]) -> RegisteredModel:
    """Make a checkpoint `@champion`; it is registered first where it is not.

    Args:
        log: Run of the evaluation, which holds the model where it was not registered.
        checkpoint: Local checkpoint folder.
        name: Of the registered model.
        reasons: Tags of the version that say why.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    card = read_card(checkpoint)
    with _registry_errors(log.uri):
        client = _client(log.uri)
        known = client.search_model_versions(
            f"name = '{name}' and tags.{FINGERPRINT_TAG} = '{card.fingerprint}'",
            max_results=1,
            order_by=["version_number DESC"],
        )
        if known:
            version = _registered(known[0])
        else:
            log_model(log, checkpoint)
            version = _version_of_run(client, log, card, name)  # no candidate: it was not trained just now
        for key, value in reasons.items():
            client.set_model_version_tag(name, version.version, key, str(value))
        client.set_registered_model_alias(name, CHAMPION, version.version)
    return version


def download_model(uri: str, registry: str | None = None) -> Path:
    """Fetch a registered model's checkpoint (arguments and errors as of `downloaded_model`).

    Returns:
        A local folder with `model.safetensors` and `card.json`, which is deleted when this process ends.
    """
    download = ExitStack()
    folder = download.enter_context(downloaded_model(uri, registry))
    atexit.register(download.close)
    return folder


@contextmanager
def downloaded_model(uri: str, registry: str | None = None) -> Iterator[Path]:
    """Fetch a registered model's checkpoint for as long as it is needed.

    Args:
        uri: models:/NAME@ALIAS or models:/NAME/VERSION.
        registry: URI of the registry; None: the one that MLFLOW_TRACKING_URI names.

    Yields:
        A local folder with `model.safetensors` and `card.json`, which is deleted afterwards.

    Raises:
        CheckpointError: There is no such model, or it holds no checkpoint of ours.
    """
    registry = registry or tracking_uri()
    with tempfile.TemporaryDirectory(prefix="dbd-ray-") as folder:
        try:
            local = mlflow.artifacts.download_artifacts(
                artifact_uri=_source(uri, registry), dst_path=folder, tracking_uri=registry
            )
        except MlflowException as error:
            raise CheckpointError(f"{uri}: not found in the MLflow registry {registry}: {error.message}") from None
        cards = sorted(Path(local).rglob(CARD))
        if not cards:
            raise CheckpointError(f"{uri}: holds no {CARD}, so it is not a dbd_ray model")
        yield cards[0].parent


def _version_of_run(client: MlflowClient, log: RunLog, card: Card, name: str) -> RegisteredModel:
    try:
        client.create_registered_model(name, description="Which pixels of a photo are in focus; made by dbd_ray.")
    except MlflowException as error:
        if error.error_code != _PRESENT:
            raise
    found = client.search_model_versions(f"name = '{name}' and run_id = '{log.run_id}'", max_results=1)
    if found:
        return _registered(found[0])
    source = f"{client.get_run(log.run_id).info.artifact_uri}/{MODEL_FOLDER}"
    version = client.create_model_version(name, source, log.run_id, tags=_tags(card), description=_describe(card))
    return _registered(version)


def _source(uri: str, registry: str) -> str:
    # download_artifacts would look a models:/ URI up in the registry of the environment, whatever it is told
    client = _client(registry)
    found = get_model_name_and_version(client, uri)
    if len(found) == 1:  # models:/ID, which MLflow gives to models that are not registered
        return str(client.get_logged_model(*found).artifact_location)
    return str(client.get_model_version_download_uri(*found))


def _write_model(checkpoint: Path, folder: Path, run_id: str) -> None:
    card = read_card(checkpoint)
    with tempfile.TemporaryDirectory() as data:
        files = Path(data) / "checkpoint"
        files.mkdir()
        # these alone: beside them may lie the history, or what a crash left
        (files / CARD).symlink_to((checkpoint / CARD).absolute())
        (files / WEIGHTS).symlink_to(find_weights(card, checkpoint).absolute())
        mlflow.pyfunc.save_model(
            folder,
            # our own module, by name: nothing is pickled, and the card says which versions can read the weights
            loader_module=pyfunc.__name__,
            data_path=str(files),
            mlflow_model=Model(artifact_path=MODEL_FOLDER, run_id=run_id),
            signature=ModelSignature(
                inputs=Schema([ColSpec(DataType.binary, pyfunc.PHOTO_COLUMN)]),
                outputs=Schema([ColSpec(DataType[kind], name) for name, kind in pyfunc.OUTPUT_COLUMNS.items()]),
            ),
            input_example=_example(),
            pip_requirements=[f"dbd-ray=={__version__}"],
            model_config=pyfunc.DEFAULTS,
            metadata={"card": card.model_dump(mode="json")},
        )


def _example() -> pd.DataFrame:
    scene = render_scene(0, seed=0, config=SceneConfig(size=(96, 128)))
    return pd.DataFrame({pyfunc.PHOTO_COLUMN: [encode_photo(scene.photo)]})


def _tags(card: Card) -> dict[str, str]:
    data = card.provenance.get("data", [])
    return {
        FINGERPRINT_TAG: card.fingerprint,
        "name": card.name,
        "data.fingerprints": " ".join(one["fingerprint"] for one in data),
        **{f"metrics.{name}": f"{value:.6f}" for name, value in card.metrics.items()},
    }


def _describe(card: Card) -> str:
    height, width = card.input_size
    network = f"{card.network.architecture} on {card.network.backbone}"
    return f"{card.name}: {network}, {card.parameters / 1e6:.2f} M parameters, sees {height}×{width} px"


def _registered(version: ModelVersion) -> RegisteredModel:
    fingerprint = str(version.tags.get(FINGERPRINT_TAG, ""))
    return RegisteredModel(str(version.name), str(version.version), fingerprint, str(version.run_id))


def _client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


@contextmanager
def _registry_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        reason = error.message.strip().splitlines()[0]
        raise ConfigError(
            f"{uri}: the MLflow registry failed ({reason}); start its server, or correct MLFLOW_TRACKING_URI"
        ) from error
