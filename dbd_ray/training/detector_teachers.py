"""Detector teachers: trained detectors whose maps and features another detector learns."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.hardware import Precision
from dbd_ray.models import FocusNetwork
from dbd_ray.training.local_paths import absolute_checkpoint
from dbd_ray.training.losses import DetectorTeacherMaps


class DetectorTeacher(NamedTuple):
    """A detector to learn from.

    Attributes:
        name: The detector's name@fingerprint, the latter's first 16 digits.
        network: Its network, on the CPU, in evaluation mode, without gradients.
    """

    name: str
    network: FocusNetwork


def load_detector_teachers(config: ObjectiveConfig, registry: str | None = None) -> tuple[DetectorTeacher, ...]:
    """Load the detector teachers of a run, none if it has none.

    Args:
        config: `teacher_checkpoints` is used; paths may be relative to the current folder.
        registry: URI of the MLflow registry for models:/ URIs; None: the one that MLFLOW_TRACKING_URI names.

    Raises:
        ConfigError: One of them is missing or damaged; names it.
    """
    return tuple(load_detector_teacher(checkpoint, registry) for checkpoint in config.teacher_checkpoints)


def load_detector_teacher(checkpoint: str, registry: str | None = None) -> DetectorTeacher:
    """Load one of `objective.teacher_checkpoints` (arguments and errors as of `load_detector_teachers`)."""
    name, network, _ = load_named(checkpoint, registry, setting="objective.teacher_checkpoints")
    return DetectorTeacher(name, network.eval().requires_grad_(False))


def load_named(checkpoint: str, registry: str | None, *, setting: str) -> tuple[str, FocusNetwork, Card]:
    """Load a detector that a setting of a run names.

    Args:
        checkpoint: As for `Detector.load`; a path may be relative to the current folder.
        registry: URI of the MLflow registry for models:/ URIs; None: the one that MLFLOW_TRACKING_URI names.
        setting: The setting's dotted name, for errors.

    Returns:
        The detector's name@fingerprint, the latter's first 16 digits; its network; and its card.

    Raises:
        ConfigError: It is missing or damaged.
    """
    try:
        with opened_checkpoint(absolute_checkpoint(checkpoint), registry=registry) as folder:
            network, card = load_checkpoint(folder)
    except (CheckpointError, ConfigError) as error:
        raise ConfigError(f"{setting}: {error}") from error
    return f"{card.name}@{card.fingerprint[:16]}", network, card


class DetectorTeacherEnsemble:
    """Runs every detector teacher on photos, at every scale, and mirrored where asked for; its weights never change.

    Args:
        teachers: See `load_detector_teachers`; at least one. They are moved to the device.
        config: `teacher_scales`, `teacher_flip` and `wants_features` are used.
        device: The device that the photos will be on.
        precision: Number format of the networks' passes.
    """

    def __init__(
        self,
        teachers: Sequence[DetectorTeacher],
        config: ObjectiveConfig,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self.names = tuple(teacher.name for teacher in teachers)
        self.networks = [
            teacher.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for teacher in teachers
        ]
        self._config = config
        self._precision = precision

    def __call__(self, photos: Tensor) -> DetectorTeacherMaps:
        """Return the mean of all focus maps, and the first teacher's features where they have a weight.

        Args:
            photos: uint8 N×3×H×W RGB on the device.
        """
        scales, with_features = self._config.teacher_scales, self._config.wants_features
        mirrorings = (False, True) if self._config.teacher_flip else (False,)
        first = self.networks[0]
        maps: list[Tensor] = []
        features: tuple[Tensor, ...] | None = None
        with torch.inference_mode(), self._precision.autocast(photos.device):
            if with_features and 1.0 not in scales:
                features = first.encoder(_seen(first, photos, 1.0))
            for network, scale, mirrored in product(self.networks, scales, mirrorings):
                output = network(_seen(network, photos.flip(-1) if mirrored else photos, scale), with_depth=False)
                focus = _resized(output.focus_logits.float().sigmoid(), (photos.shape[-2], photos.shape[-1]))
                maps.append(focus.flip(-1) if mirrored else focus)
                if with_features and network is first and scale == 1 and not mirrored:
                    features = output.features
        # anew outside: tensors of inference mode cannot take part in a backward pass
        return DetectorTeacherMaps(
            torch.stack(maps).mean(0), None if features is None else tuple(one.clone() for one in features)
        )


def _seen(network: FocusNetwork, photos: Tensor, scale: float) -> Tensor:
    height, width = (round(side * scale) for side in photos.shape[-2:])
    image = _resized(network.normalize(photos), (height, width))
    return image.contiguous(memory_format=torch.channels_last)


def _resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    if planes.shape[-2:] == size:
        return planes
    return F.interpolate(planes, size, mode="bilinear", antialias=True)
