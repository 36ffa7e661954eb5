"""What gateway and detector say to each other; the gateway starts without torch."""

from typing import NamedTuple, TypeAlias

import numpy as np

from dbd_ray.detection.transforms import PhotoMaps

# one photo's pictures by their (height, width), uint8 n×h×w×3 each, see `passes.network_pictures`
Alternatives: TypeAlias = dict[tuple[int, int], np.ndarray]


class ModelInUse(NamedTuple):
    """What makes the maps.

    Attributes:
        name: Of the checkpoint.
        fingerprint: Of its weights.
        input_size: (height, width) of the pictures that it looks at.
        has_depth: Whether it gives depth maps.
    """

    name: str
    fingerprint: str
    input_size: tuple[int, int]
    has_depth: bool


class Looked(NamedTuple):
    """An answer of the detector.

    Attributes:
        model: What was asked.
        maps: Of the pictures; None where none had the model's input size.
    """

    model: ModelInUse
    maps: PhotoMaps | None
