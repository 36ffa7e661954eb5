"""What gateway and detector say to each other; the gateway starts without torch."""

from typing import NamedTuple

from dbd_ray.passes import PhotoMaps


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
