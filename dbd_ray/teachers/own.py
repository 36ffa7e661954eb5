"""The depth head of a network that was trained here."""

from typing import cast

from torch import Tensor

from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.errors import ConfigError
from dbd_ray.models import FocusNetwork
from dbd_ray.teachers.request import TeacherRequest
from dbd_ray.teachers.torch_teacher import TorchTeacher
from dbd_ray.teachers.weights import fingerprint_of

CODE_VERSION = 1  # raised when this code gives other maps for the same checkpoint


class OwnTeacher(TorchTeacher):
    """A depth-distillation network; its raw depth, larger = farther as it was taught, before any clipping.

    Args:
        network: One that has depth, in evaluation mode.
        card: Its card.
        request: Tells the device and the number format.
    """

    def __init__(self, network: FocusNetwork, card: Card, request: TeacherRequest) -> None:
        preprocessing = {"code": CODE_VERSION, "input_size": card.input_size, "mean": card.mean, "std": card.std}
        super().__init__(
            f"{request.kind}:{card.name}",
            fingerprint_of(card.fingerprint, preprocessing),
            input_size=card.input_size,
            larger_is="far",
            request=request,
        )
        self._network = network.to(self.device)

    def estimate(self, photos: Tensor) -> Tensor:
        depth = self._network(self._network.normalize(photos)).depth
        return cast(Tensor, depth)[:, 0]


def load(request: TeacherRequest) -> OwnTeacher:
    """Load `self:CHECKPOINT`: a checkpoint folder, a model of the package or an MLflow model URI.

    Raises:
        CheckpointError: There is no such checkpoint, or it is damaged.
        ConfigError: Its network predicts no depth, an option was given, or there is no such device.
    """
    request.allow_options()
    with opened_checkpoint(request.target) as folder:
        network, card = load_checkpoint(folder)
    if not card.network.depth:
        raise ConfigError(
            f"{request.spec}: this network predicts no depth (depth: false in its card), so it cannot teach any; "
            "give a checkpoint that was trained with depth"
        )
    return OwnTeacher(network, card, request)
