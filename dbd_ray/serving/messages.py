"""The messages between gateway and detector, apart from both since the gateway starts without torch."""

from typing import NamedTuple, TypeAlias

import numpy as np

from dbd_ray.detection.transforms import PhotoMaps

# one photo's pictures by their (height, width), uint8 n×h×w×3 each, see `transforms.network_pictures`
PicturesBySize: TypeAlias = dict[tuple[int, int], np.ndarray]


class ModelInUse(NamedTuple):
    """The model that a replica runs.

    Attributes:
        name: Name of the checkpoint.
        fingerprint: SHA-256 of its weights.
        input_size: (height, width) of the pictures that the network takes, px.
        has_depth: Whether the network gives depth maps.
    """

    name: str
    fingerprint: str
    input_size: tuple[int, int]
    has_depth: bool


class DetectorAnswer(NamedTuple):
    """The detector's answer for one photo.

    Attributes:
        model: The model that was asked.
        maps: Maps of the photo's pictures; None where no pictures had the model's input size.
    """

    model: ModelInUse
    maps: PhotoMaps | None
