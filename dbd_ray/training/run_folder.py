"""Records in a training run's folder: the settings and the key that it was started with, and its result."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from dbd_ray.checkpoints.files import CARD, WEIGHTS
from dbd_ray.config import TrainConfig, flatten, merge
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.masking import masked, masked_values
from dbd_ray.storage import UNREACHABLE, list_folder, open_storage, replace_text

SETTINGS_FILE = "train.json"
RESULT_FILE = "result.json"
KEY_FIELD = "run_key"
URI_FIELD = "tracking_uri"
MODEL_FILES = (WEIGHTS, CARD)
TEACHER = "teacher"  # folder of a teacher that was trained together with the model
# settings that say where a run is trained, beside which others, when it is given up, and what becomes of its model, not
# what is trained
_OF_TRAINING = ("workers.", "micro_batch_size", "registered_model", "objective.adversarial.stop_at_")
MAY_DIFFER = (*_OF_TRAINING, *(f"train.{name}" for name in _OF_TRAINING), "concurrent")


class NamedSettings(Protocol):
    """Settings of a training run or of a study of many: each has a folder of its own."""

    @property
    def name(self) -> str: ...
    @property
    def storage(self) -> str: ...
    @property
    def data(self) -> tuple[str, ...]: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class TrainedModel(NamedTuple):
    """The result of a finished run.

    Attributes:
        folder: Checkpoint folder of the best epoch, with `model.safetensors` and `card.json`.
        metrics: The best epoch's metrics by name.
        history: Every epoch's metrics by name, from the first epoch to the last.
        run_id: ID of its MLflow run.
        tracking_uri: URI of the MLflow store that holds that run.
    """

    folder: str
    metrics: dict[str, float]
    history: list[dict[str, float]]
    run_id: str
    tracking_uri: str


def model_folder(config: NamedSettings) -> str:
    """Return the folder in which the best epoch's model of a run is published."""
    return f"{_folder(config)}/model"


def teacher_folder(config: NamedSettings) -> str:
    """Return the folder in which a teacher that was trained together with a run's model is published."""
    return f"{_folder(config)}/{TEACHER}"


def find_claim(config: NamedSettings) -> str | None:
    """Find the run that has this name; it must have been started with the same settings, `MAY_DIFFER` aside.

    Ray resumes by name alone: other settings under an old name would silently go on with the old run.

    Returns:
        The key that `claim_name` recorded; None if the run is new.

    Raises:
        ConfigError: Lists every setting that differs; or the storage cannot be read.
    """
    claimed = read_record(config, SETTINGS_FILE)
    if claimed is None:
        return None
    key = str(claimed.pop(KEY_FIELD, _folder(config)))
    # a run that began before a setting existed was trained with what is its default now
    theirs = masked_values(flatten(merge(_defaults(config), claimed)))
    mine = masked_values(flatten(_identity(config)))
    differing = [
        f"{name}: {theirs.get(name)} → {mine.get(name)}"
        for name in sorted(theirs.keys() | mine.keys())
        if not name.startswith(MAY_DIFFER) and theirs.get(name) != mine.get(name)
    ]
    if differing:
        more = isinstance(config, TrainConfig) and _asks_for_more(config, theirs.get("epochs"), differing)
        raise ConfigError(
            f"run {config.name} exists in {config.storage} with other settings ({'; '.join(differing)}); "
            + (_how_to_go_on(config, theirs["epochs"]) if more else "choose another name, or delete that folder")
        )
    return key


def _asks_for_more(config: TrainConfig, epochs: Any, differing: list[str]) -> bool:
    only_longer = len(differing) == 1 and isinstance(epochs, int) and config.epochs > epochs
    return only_longer and read_result(config) is not None


def _how_to_go_on(config: NamedSettings, epochs: int) -> str:
    # its learning rate has come to the end of its schedule: raised again, it would be no run of so many epochs either
    wanted = config.model_dump(mode="json")
    sets = [f"name={config.name}-{wanted['epochs']}", f"epochs={wanted['epochs'] - epochs}"]
    sets += [f"start_from={model_folder(config)}"]
    sets += ["network.backbone_weights=null"] if wanted["network"]["backbone_weights"] else []
    return (
        f"its {epochs} epochs are over, and a new run goes on from its model: "
        + " ".join(f"--set {setting}" for setting in sets)
        + "; for a run of that many epochs from the start choose another name"
    )


def has_checkpoint(config: NamedSettings) -> bool:
    """Whether a run has completed an epoch, from which it goes on."""
    with _storage_errors(config):
        storage, path = open_storage(_folder(config))
        names = [name for name, _ in list_folder(storage, path) or [] if name.startswith("checkpoint_")]
        return any(storage.exists(f"{path}/{name}/{CARD}") for name in names)


def new_key() -> str:
    """Make the identity of a new run: a deleted folder's name may come back, and must not go on in its MLflow run."""
    return uuid.uuid4().hex


def claim_name(config: NamedSettings, key: str) -> None:
    """Record the settings and the key of a run before it starts; ConfigError where the storage cannot be written."""
    write_record(config, SETTINGS_FILE, {**_identity(config), KEY_FIELD: key})


def write_result(config: TrainConfig, trained: TrainedModel) -> None:
    """Record that the run is finished; its model must be published already."""
    write_record(config, RESULT_FILE, trained._asdict())


def read_result(config: TrainConfig) -> TrainedModel | None:
    """Read what a finished run left; None if it is not finished, or its model was deleted."""
    result = read_record(config, RESULT_FILE)
    with _storage_errors(config):
        storage, model = open_storage(model_folder(config))
        if result is None or not all(storage.exists(f"{model}/{name}") for name in MODEL_FILES):
            return None
    try:
        return TrainedModel(**{**result, "folder": model_folder(config)})
    except TypeError as error:
        raise ConfigError(f"{_folder(config)}/{RESULT_FILE} is damaged ({error}): delete it to train again") from None


def finished_run(config: TrainConfig) -> TrainedModel | None:
    """Read the result of a finished run of this name; None if it is new, or was interrupted.

    Args:
        config: The run, with absolute paths.

    Raises:
        ConfigError: A run of this name exists with other settings.
    """
    return read_result(config) if find_claim(config) else None


def _identity(config: NamedSettings) -> dict[str, Any]:
    # with the data's fingerprints: the same folder may have been prepared anew from other photos
    fingerprints = [read_info(location).fingerprint for location in config.data]
    return {**config.model_dump(mode="json"), "data_fingerprints": fingerprints}


def _defaults(config: NamedSettings) -> dict[str, Any]:
    if not isinstance(config, TrainConfig):
        return {}
    fields = TrainConfig.model_fields.items()
    given = {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    return TrainConfig.model_construct(**given).model_dump(mode="json", include=set(given))


def _folder(config: NamedSettings) -> str:
    return f"{config.storage}/{config.name}"


def read_record(config: NamedSettings, name: str) -> dict[str, Any] | None:
    """Read a JSON file of a folder; None if there is none, ConfigError where it is damaged or out of reach.

    A tracking URI whose password `write_record` masked has it again where MLFLOW_TRACKING_URI is still the same.
    """
    with _storage_errors(config):
        storage, path = open_storage(f"{_folder(config)}/{name}")
        try:
            content = json.loads(storage.cat_file(path))
            if not isinstance(content, dict):
                raise ValueError(f"holds no mapping, but {type(content).__name__}")
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{_folder(config)}/{name} is damaged ({error}): delete it if you know the run's settings to be these"
            ) from None
    here = os.environ.get("MLFLOW_TRACKING_URI", "")
    return {**content, URI_FIELD: here} if here and content.get(URI_FIELD) == masked(here) else content


def write_record(config: NamedSettings, name: str, content: dict[str, Any]) -> None:
    """Write a JSON file of a folder in one step, secrets masked; ConfigError where the storage cannot be written."""
    with _storage_errors(config):
        replace_text(f"{_folder(config)}/{name}", json.dumps(masked_values(content), indent=2))


@contextmanager
def _storage_errors(config: NamedSettings) -> Iterator[None]:
    try:
        yield
    except (OSError, DatasetError) as error:
        raise ConfigError(f"storage: {config.storage} cannot be used, {UNREACHABLE}: {error}") from None
