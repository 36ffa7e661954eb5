"""Writing to the MLflow model registry: trained models become `@candidate`, the best one `@champion`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from dbd_ray import __version__, pyfunc
from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import CARD, WEIGHTS, find_weights, read_card
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.images.encode import encode_photo
from dbd_ray.names import OUTPUT_COLUMNS
from dbd_ray.tracking.registry import CHAMPION, FINGERPRINT_TAG, RegisteredModel, as_registered, registry_errors
from dbd_ray.tracking.runs import RunLog

CANDIDATE = "candidate"
MODEL_FOLDER = "model"  # its path among a run's artifacts
_PRESENT = "RESOURCE_ALREADY_EXISTS"
_MLFLOW_TYPES = {bytes: DataType.binary, str: DataType.string, float: DataType.double, int: DataType.long}


def log_model(log: RunLog, checkpoint: Path) -> None:
    """Store a checkpoint in a run as an MLflow model, with signature, input example and card.

    Args:
        log: The run; a model in it is replaced.
        checkpoint: Local checkpoint folder.

    Raises:
        CheckpointError: The checkpoint is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_model(checkpoint, Path(folder) / MODEL_FOLDER, log.run_id)
        log.files(Path(folder))


def register(log: RunLog, card: Card, name: str) -> RegisteredModel:
    """Register the model of a run as the newest version, unless it is registered already, and as `@candidate`.

    Args:
        log: The run that `log_model` stored the model in.
        card: Card of that model.
        name: Registered model's name; the registered model is made where there is none.

    Returns:
        The version; for a run that was registered before, for instance a resumed one, its earlier version.
    """
    client = MlflowClient(tracking_uri=log.uri)
    version = _version_of_run(client, log, card, name)
    candidate = client.get_registered_model(name).aliases.get(CANDIDATE)
    if candidate is None or int(candidate) < int(version.version):  # a run resumed late must not push a newer one out
        client.set_registered_model_alias(name, CANDIDATE, version.version)
    return version


def promote(log: RunLog, checkpoint: Path, name: str, reasons: Mapping[str, Any]) -> RegisteredModel:
    """Make a checkpoint `@champion`; it is registered first if it is not.

    Args:
        log: Run of the evaluation, in which the model is stored if it was not registered.
        checkpoint: Local checkpoint folder.
        name: Registered model's name.
        reasons: Tags for the version that say why.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    card = read_card(checkpoint)
    with registry_errors(log.uri):
        client = MlflowClient(tracking_uri=log.uri)
        known = client.search_model_versions(
            f"name = '{name}' and tags.{FINGERPRINT_TAG} = '{card.fingerprint}'",
            max_results=1,
            order_by=["version_number DESC"],
        )
        if known:
            version = as_registered(known[0])
        else:
            log_model(log, checkpoint)
            version = _version_of_run(client, log, card, name)  # no candidate: it was not trained just now
        for key, value in reasons.items():
            client.set_model_version_tag(name, version.version, key, str(value))
        client.set_registered_model_alias(name, CHAMPION, version.version)
    return version


def _version_of_run(client: MlflowClient, log: RunLog, card: Card, name: str) -> RegisteredModel:
    try:
        client.create_registered_model(name, description="Which pixels of a photo are in focus; made by dbd_ray.")
    except MlflowException as error:
        if error.error_code != _PRESENT:
            raise
    found = client.search_model_versions(f"name = '{name}' and run_id = '{log.run_id}'", max_results=1)
    if found:
        return as_registered(found[0])
    source = f"{client.get_run(log.run_id).info.artifact_uri}/{MODEL_FOLDER}"
    version = client.create_model_version(name, source, log.run_id, tags=_tags(card), description=_describe(card))
    return as_registered(version)


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
                outputs=Schema([ColSpec(_MLFLOW_TYPES[kind], name) for name, kind in OUTPUT_COLUMNS.items()]),
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
