"""The detector: photos in, focus maps out. Evaluation, predictors and commands all go through here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

import cv2
import numpy as np
import torch

from dbd_ray.checkpoints import Card, load_checkpoint
from dbd_ray.errors import CheckpointError, PhotoError
from dbd_ray.focus_map import FocusMap, summarize
from dbd_ray.images.refine import refine_to_photo
from dbd_ray.images.resize import resize_photo
from dbd_ray.models import FocusNetwork
from dbd_ray.models.hardware import choose_device

Refinement = Literal["guided", "bilinear"]
Item = TypeVar("Item")
Result = TypeVar("Result")

PIXELS_AT_ONCE = 100_000_000  # of decoded photos that wait for one forward pass, 3 bytes each

_OUT_OF_MEMORY = "there is not enough memory for this photo: make it smaller, or run fewer at a time [out_of_memory]"


class NetworkMaps(NamedTuple):
    """Maps at network size.

    Attributes:
        focus: float32 N×h×w in [0,1].
        depth: float32 N×h×w in [0,1], or None.
    """

    focus: torch.Tensor
    depth: torch.Tensor | None


@torch.inference_mode()
def predict_focus(network: FocusNetwork, photos: torch.Tensor, *, dtype: torch.dtype = torch.float32) -> NetworkMaps:
    """Run a network in evaluation mode; it and each part of it are left in the mode that they were in.

    Args:
        network: A focus network, see `models`.
        photos: uint8 N×3×h×w RGB on the network's device.
        dtype: torch.bfloat16 to run under autocast.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.autocast(photos.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            output = network(network.normalize(photos))
    finally:
        for module in training:
            module.training = True  # not train(), which would also wake parts that were frozen in evaluation mode
    depth = None if output.depth is None else output.depth[:, 0].float().clamp(0, 1)
    return NetworkMaps(output.focus_logits[:, 0].float().sigmoid(), depth)


class Detector:
    """Finds the in-focus pixels of photos; needs no Ray.

    Args:
        network: A focus network in evaluation mode.
        card: What the checkpoint says of it.
        device: Where it runs.
    """

    def __init__(self, network: FocusNetwork, card: Card, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.card = card

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto") -> "Detector":
        """Load a detector.

        Args:
            model: Name of a model in the package (see `packaged_models`), folder of a checkpoint, or
                an MLflow model URI (models:/NAME@ALIAS, models:/NAME/VERSION).
            device: "auto", "cpu", "cuda" or "cuda:N".

        Raises:
            CheckpointError: There is no such model, or it is damaged.
            ConfigError: There is no such device.
        """
        network, card = load_checkpoint(_find(str(model)))
        return cls(network, card, choose_device(device))

    def detect(
        self,
        photos: Sequence[np.ndarray],
        *,
        refine: Refinement = "guided",
        batch_size: int = 8,
    ) -> list[FocusMap]:
        """Detect focus in photos of any sizes.

        Args:
            photos: uint8 RGB H×W×3 each, upright (see `images.decode_photo`).
            refine: How maps come from network size to the photo's: "guided" follows the photo's edges
                (fast guided filter), "bilinear" only interpolates.
            batch_size: Photos per forward pass.

        Returns:
            One FocusMap per photo, in their order, at their sizes.

        Raises:
            ValueError: A photo is not uint8 H×W×3 (names its position), or an option is out of range.
        """
        return list(self.detect_each(photos, refine=refine, batch_size=batch_size))

    def detect_each(
        self, photos: Sequence[np.ndarray], *, refine: Refinement = "guided", batch_size: int = 8
    ) -> Iterator[FocusMap]:
        """Like `detect`, one FocusMap at a time: native-size maps of many photos need not fit in memory."""
        if refine not in get_args(Refinement):
            raise ValueError(f"refine: {refine!r} is unknown, choose one of {', '.join(get_args(Refinement))}")
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} photos per forward pass, give at least 1")
        for position, photo in enumerate(photos):
            if not isinstance(photo, np.ndarray):
                raise ValueError(f"photo {position}: expected uint8 H×W×3, got {type(photo).__name__}")
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
                raise ValueError(
                    f"photo {position}: expected uint8 H×W×3, got {photo.dtype} {'×'.join(map(str, photo.shape))}; "
                    "decode files with dbd_ray.images.decode_photo"
                )
        for start in range(0, len(photos), batch_size):
            chunk = photos[start : start + batch_size]
            maps = self._run(chunk)
            for index, photo in enumerate(chunk):
                focus = refine_to_photo(maps.focus[index].numpy(), photo, method=refine)
                depth = None
                if maps.depth is not None:
                    depth = refine_to_photo(maps.depth[index].numpy(), photo, method=refine)
                yield FocusMap(
                    focus, depth, summarize(focus, model=self.card.name, model_fingerprint=self.card.fingerprint)
                )

    def _run(self, photos: Sequence[np.ndarray]) -> NetworkMaps:
        small = np.stack([resize_photo(photo, self.card.input_size) for photo in photos])
        maps = predict_focus(self.network, torch.from_numpy(small).permute(0, 3, 1, 2).to(self.device))
        return NetworkMaps(maps.focus.cpu(), None if maps.depth is None else maps.depth.cpu())


def detect_stream(
    detector: Detector,
    items: Iterable[Item],
    *,
    open_photo: Callable[[Item], np.ndarray | str],
    finish: Callable[[Item, np.ndarray, FocusMap], Result],
    fail: Callable[[Item, str], Result],
    refine: Refinement = "guided",
    batch_size: int = 8,
) -> Iterator[Result]:
    """Detect focus in any number of photos, few of them in memory at a time; a bad photo harms only itself.

    Args:
        detector: See `Detector.load`.
        items: What stands for a photo: a file, a row.
        open_photo: Gives an item's pixels, uint8 RGB H×W×3, or says why it has none, also by PhotoError or OSError.
        finish: Makes a result of an item, its pixels and its FocusMap.
        fail: Makes a result of an item that has none, and why.
        refine: See `Detector.detect`.
        batch_size: Photos per forward pass; fewer where they exceed `PIXELS_AT_ONCE` together.

    Yields:
        One result per item, in their order.
    """
    for chunk in _opened_chunks(items, open_photo, batch_size):
        yield from _finished(detector, chunk, finish, fail, refine, batch_size)
        chunk.clear()  # else its pixels would stay until the next chunk is complete


def packaged_models() -> dict[str, Path]:
    """Checkpoints that come with the package, by name."""
    folder = Path(__file__).parent / "weights"
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/card.json"))}


def _opened_chunks(
    items: Iterable[Item], open_photo: Callable[[Item], np.ndarray | str], batch_size: int
) -> Iterator[list[tuple[Item, np.ndarray | str]]]:
    chunk: list[tuple[Item, np.ndarray | str]] = []
    pixels = 0
    for item in items:
        opened = _opened(item, open_photo)
        size = 0 if isinstance(opened, str) else opened.shape[0] * opened.shape[1]
        if chunk and pixels + size > PIXELS_AT_ONCE:
            yield chunk
            chunk, pixels = [], 0
        chunk, pixels = [*chunk, (item, opened)], pixels + size
        del opened  # would outlive its chunk by one decoding
        if len(chunk) == batch_size:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _finished(
    detector: Detector,
    chunk: Sequence[tuple[Item, np.ndarray | str]],
    finish: Callable[[Item, np.ndarray, FocusMap], Result],
    fail: Callable[[Item, str], Result],
    refine: Refinement,
    batch_size: int,
) -> Iterator[Result]:
    waiting = [opened for _, opened in chunk if not isinstance(opened, str)]
    maps = detector.detect_each(waiting, refine=refine, batch_size=batch_size)
    for item, opened in chunk:
        if isinstance(opened, str):
            yield fail(item, opened)
            continue
        waiting = waiting[1:]
        try:
            result = finish(item, opened, next(maps))
        except (MemoryError, cv2.error) as error:
            if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
                raise
            result = fail(item, _OUT_OF_MEMORY)
            maps = detector.detect_each(waiting, refine=refine, batch_size=batch_size)
        yield result


def _opened(item: Item, open_photo: Callable[[Item], np.ndarray | str]) -> np.ndarray | str:
    try:
        return open_photo(item)
    except PhotoError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except MemoryError:
        return _OUT_OF_MEMORY


def _find(model: str) -> Path:
    if model.startswith("models:/"):
        from dbd_ray.tracking import download_model

        return download_model(model)
    packaged = packaged_models()
    if model in packaged:
        return packaged[model]
    if not Path(model).exists():
        raise CheckpointError(
            f"{model}: neither a checkpoint folder nor a model of the package ({', '.join(packaged) or 'none yet'}); "
            "train one with `dbd-ray train`, or give models:/NAME@ALIAS"
        )
    return Path(model)
