"""The kind `self`: the depth head of a network that was trained with dbd_ray."""

from typing import cast

from torch import Tensor

from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.errors import ConfigError
from dbd_ray.models import FocusNetwork
from dbd_ray.names import PrecisionName
from dbd_ray.teachers.loading import fingerprint_of
from dbd_ray.teachers.spec import TeacherSpec
from dbd_ray.teachers.torch_teacher import TorchTeacher

CODE_VERSION = 1  # raised when this code gives other maps for the same checkpoint


class OwnTeacher(TorchTeacher):
    """A depth-distillation network; gives its raw depth (larger = farther) before any clipping.

    Args:
        name: As for `DepthTeacher`.
        network: Network with a depth head, in evaluation mode.
        card: Card of its checkpoint.
        device: As for `load_teacher`.
        precision: As for `load_teacher`.
    """

    def __init__(self, name: str, network: FocusNetwork, card: Card, device: str, precision: PrecisionName) -> None:
        preprocessing = {"code": CODE_VERSION, "input_size": card.input_size, "mean": card.mean, "std": card.std}
        super().__init__(
            name,
            fingerprint_of(card.fingerprint, preprocessing),
            input_size=card.input_size,
            larger_is="far",
            device=device,
            precision=precision,
        )
        self._network = network.to(self.device)

    def estimate(self, photos: Tensor) -> Tensor:
        depth = self._network(self._network.normalize(photos)).depth
        return cast(Tensor, depth)[:, 0]


def load(spec: TeacherSpec, device: str, precision: PrecisionName) -> OwnTeacher:
    """Load `self:CHECKPOINT`: a checkpoint folder, a model of the package or an MLflow model URI.

    Raises:
        CheckpointError: There is no such checkpoint, or it is damaged.
        ConfigError: Its network predicts no depth, an option was given, or there is no such device.
    """
    spec.allow_options()
    with opened_checkpoint(spec.target) as folder:
        network, card = load_checkpoint(folder)
    if not card.network.depth:
        raise ConfigError(
            f"{spec.label}: this network predicts no depth (depth: false in its card), so it cannot teach any; "
            "give a checkpoint that was trained with depth"
        )
    return OwnTeacher(f"{spec.kind}:{card.name}", network, card, device, precision)
