"""Finding of checkpoints: by the name of a packaged model, a folder, or a models:/ URI."""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dbd_ray
from dbd_ray.checkpoints.files import CARD
from dbd_ray.errors import CheckpointError
from dbd_ray.storage import kind_at

_REGISTERED = "models:/"


def packaged_models() -> dict[str, Path]:
    """List the checkpoints in the package: folder by name."""
    folder = Path(dbd_ray.__file__).parent / "weights"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CARD}"))}


def find_checkpoint(model: str, *, registry: str | None = None) -> Path:
    """Find the checkpoint folder of a model.

    Args:
        model: Name of a packaged model, folder, or models:/NAME@ALIAS, models:/NAME/VERSION.
        registry: URI of the MLflow registry for models:/ URIs; None: the one that MLFLOW_TRACKING_URI names.

    Returns:
        A local checkpoint folder; its content is not checked. One that came from a registry stays until this process
        ends, see `opened_checkpoint`.

    Raises:
        CheckpointError: There is no such model.
    """
    if model.startswith(_REGISTERED):
        download = ExitStack()
        folder = download.enter_context(_downloaded(model, registry))
        atexit.register(download.close)
        return folder
    packaged = packaged_models()
    if model in packaged:
        return packaged[model]
    if kind_at(model) is None:
        raise CheckpointError(
            f"{model}: neither a checkpoint folder nor a model of the package ({', '.join(packaged) or 'none yet'}); "
            "train one with `dbd-ray train`, or give models:/NAME@ALIAS"
        )
    return Path(model)


@contextmanager
def opened_checkpoint(model: str, *, registry: str | None = None) -> Iterator[Path]:
    """Like `find_checkpoint`, but a folder that came from a registry is deleted afterwards."""
    if model.startswith(_REGISTERED):
        with _downloaded(model, registry) as folder:
            yield folder
    else:
        yield find_checkpoint(model, registry=registry)


@contextmanager
def _downloaded(uri: str, registry: str | None) -> Iterator[Path]:
    from dbd_ray.tracking.registry import downloaded_model  # brings MLflow, which a plain checkpoint does not need

    with downloaded_model(uri, registry) as files:
        cards = sorted(files.rglob(CARD))
        if not cards:
            raise CheckpointError(f"{uri}: holds no {CARD}, so it is not a dbd_ray model")
        yield cards[0].parent
