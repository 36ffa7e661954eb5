"""Depth distillation (Cun & Pun, ECCV 2020), beside which finished detectors may teach."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dbd_ray.models import FocusNetwork, NetworkOutput
from dbd_ray.training.detector_teachers import DetectorTeacher, DetectorTeacherEnsemble
from dbd_ray.training.losses import Total, distillation_loss
from dbd_ray.training.objectives.base import Objective, Surroundings
from dbd_ray.training.samples import Batch


class Distillation(Objective):
    """Focus against masks, depth against a depth teacher's, and both papers' kind of learning from detectors.

    Args:
        bare: The network to keep, on the device.
        around: What it is built in.
        teachers: Finished detectors to learn from.

    Attributes:
        teachers: Them, ready to look at photos; None where there are none.
    """

    def __init__(self, bare: FocusNetwork, around: Surroundings, teachers: Sequence[DetectorTeacher]) -> None:
        super().__init__(bare, around)
        self.teachers = (
            DetectorTeacherEnsemble(teachers, around.config.objective, around.device, around.precision)
            if teachers
            else None
        )

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """name@fingerprint of the finished detectors that it learns from."""
        return self.teachers.names if self.teachers else ()

    def terms(self, batch: Batch, over_workers: Total, *, alone: bool = False) -> dict[str, Tensor]:
        """Compute `losses.distillation_loss` of a batch (arguments as of `Objective.terms`)."""
        output = run_network(self._seen_by("network", alone=alone), self.bare, batch, self.around)
        taught = self.teachers(batch.photos) if self.teachers else None
        objective = self.around.config.objective
        return distillation_loss(output, batch.focus, batch.depth, batch.has_depth, objective, taught, over_workers)


def run_network(network: nn.Module, bare: FocusNetwork, batch: Batch, around: Surroundings) -> NetworkOutput:
    """Run a network, wrapped or not, on the photos of a batch on the device."""
    photos = bare.normalize(batch.photos).contiguous(memory_format=torch.channels_last)
    with around.precision.autocast(around.device):
        output: NetworkOutput = network(photos)
    return output
