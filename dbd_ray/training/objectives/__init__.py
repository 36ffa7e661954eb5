"""What a run minimises: objectives behind one contract, chosen by `objective.kind`."""

from collections.abc import Sequence

from dbd_ray.models import FocusNetwork
from dbd_ray.training.detector_teachers import DetectorTeacher
from dbd_ray.training.objectives.adversarial import Adversarial
from dbd_ray.training.objectives.base import Objective, Surroundings, averaged_once
from dbd_ray.training.objectives.distillation import Distillation

__all__ = ["Adversarial", "Distillation", "Objective", "Surroundings", "averaged_once", "make_objective"]

_KINDS: dict[str, type[Distillation] | type[Adversarial]] = {"distillation": Distillation, "adversarial": Adversarial}


def make_objective(bare: FocusNetwork, around: Surroundings, teachers: Sequence[DetectorTeacher] = ()) -> Objective:
    """Build the objective that `around.config.objective.kind` names.

    Args:
        bare: The network to keep, on the device.
        around: What it is built in.
        teachers: Finished detectors that the settings name.
    """
    return _KINDS[around.config.objective.kind](bare, around, teachers)
