"""The detector, from photos to focus maps, which evaluation, predictors and commands use."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.detection.transforms import PhotoMaps, native_map, network_pictures
from dbd_ray.engines import load_engine
from dbd_ray.hardware import choose_device
from dbd_ray.images.tiles import lay_tiles
from dbd_ray.models import FocusNetwork
from dbd_ray.names import EngineName, Refinement


class Detector:
    """Finds the in-focus pixels of photos; needs no Ray.

    Args:
        network: A focus network; it is put in evaluation mode.
        card: Card of its checkpoint.
        device: Device that it runs on; None: the CPU.
        engine: Name of the engine that runs it, see `engines.load_engine`.
    """

    def __init__(
        self,
        network: FocusNetwork,
        card: Card,
        device: torch.device | None = None,
        engine: EngineName = "eager",
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.eval()
        self.card = card
        self.engine = load_engine(
            self.network,
            input_size=card.input_size,
            device=self.device,
            engine=engine,
            fingerprint=card.fingerprint,
        )

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", engine: EngineName = "auto") -> "Detector":
        """Load a detector.

        Args:
            model: Name of a model in the package (see `packaged_models`), folder of a checkpoint, or
                an MLflow model URI (models:/NAME@ALIAS, models:/NAME/VERSION).
            device: "auto", "cpu", "cuda" or "cuda:N".
            engine: Engine that runs the network: "eager" (torch in float32, as it was trained), "fused", "compiled",
                "onnx", "openvino", or "auto", the fastest one here; their maps agree within .01 on average.

        Raises:
            CheckpointError: There is no such model, or it is damaged.
            ConfigError: There is no such device or engine.
        """
        with opened_checkpoint(str(model)) as folder:
            network, card = load_checkpoint(folder)
        return cls(network, card, choose_device(device), engine)

    def detect(
        self,
        photos: Sequence[np.ndarray],
        *,
        refine: Refinement = "guided",
        batch_size: int = 8,
        tile: int = 1,
    ) -> list[FocusMap]:
        """Detect focus in photos of any sizes.

        Args:
            photos: uint8 RGB H×W×3 each, upright (see `images.decode_photo`).
            refine: How maps are resized to the photo: "guided" follows the photo's edges
                (fast guided filter), "bilinear" only interpolates.
            batch_size: Photos, or tiles, per forward pass.
            tile: Number of overlapping tiles along the photo's longer side, each resized to the network's input,
                which finds smaller subjects at the cost of a forward pass per tile; 1: the photo as a whole. Tiles
                give no depth.

        Returns:
            One FocusMap per photo, in their order, at their sizes.

        Raises:
            ValueError: A photo is not uint8 H×W×3 (names its position), or an option is out of range.
            MemoryError: There is not enough memory for a photo.
            DbdRayError: This is a forked copy of the process that loaded the detector; load one in each process.
        """
        return list(self.detect_each(photos, refine=refine, batch_size=batch_size, tile=tile))

    def detect_each(
        self, photos: Sequence[np.ndarray], *, refine: Refinement = "guided", batch_size: int = 8, tile: int = 1
    ) -> Iterator[FocusMap]:
        """Like `detect`, one FocusMap at a time: native-size maps of many photos need not fit in memory."""
        self.engine.check_process()  # before OpenCV, whose threads are not in a forked copy either
        if refine not in get_args(Refinement):
            raise ValueError(f"refine: {refine!r} is unknown, choose one of {', '.join(get_args(Refinement))}")
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} photos per forward pass, give at least 1")
        lay_tiles(1, 1, tile)  # refuses a number out of range before the first photo
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
            for photo, maps in zip(chunk, self._maps_of(chunk, tile, batch_size), strict=True):
                yield native_map(
                    photo,
                    maps,
                    model=self.card.name,
                    model_fingerprint=self.card.fingerprint,
                    refine=refine,
                    tile=tile,
                )

    def network_maps(self, pictures: np.ndarray) -> PhotoMaps:
        """Run the network on pictures; where memory does not suffice for all at once, on half of them at a time.

        Args:
            pictures: uint8 n×h×w×3 of the network's input size, see `transforms.network_pictures`.

        Returns:
            The network's maps, one per picture, at its own size.

        Raises:
            MemoryError: Memory does not suffice for a single picture.
            DbdRayError: This is a forked copy of the process that loaded the detector.
        """
        try:
            maps = self.engine(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        except MemoryError:
            if len(pictures) == 1:
                raise
            half = len(pictures) // 2
            return PhotoMaps.join([self.network_maps(pictures[:half]), self.network_maps(pictures[half:])])
        return PhotoMaps(maps.focus.numpy(), None if maps.depth is None else maps.depth.numpy())

    def _maps_of(self, photos: Sequence[np.ndarray], tile: int, batch_size: int) -> Iterator[PhotoMaps]:
        size = self.card.input_size
        if tile == 1:
            maps = self.network_maps(np.concatenate([network_pictures(photo, size) for photo in photos]))
            yield from (maps.part(index, index + 1) for index in range(len(photos)))
            return
        for photo in photos:
            pictures = network_pictures(photo, size, tile=tile)
            starts = range(0, len(pictures), batch_size)
            yield PhotoMaps.join([self.network_maps(pictures[i : i + batch_size]) for i in starts])
