"""Base class of the teachers that run in torch, and the digest of their weights."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dbd_ray.errors import TeacherError, out_of_memory
from dbd_ray.hardware import Precision, choose_device, choose_training_precision
from dbd_ray.names import PrecisionName
from dbd_ray.teachers.base import DepthTeacher, LargerIs


class TorchTeacher(DepthTeacher):
    """A depth network in torch on a device and in a number format; a new one implements `estimate`.

    Args:
        name: As for `DepthTeacher`, and so are fingerprint, input_size and larger_is.
        device: As for `load_teacher`.
        precision: As for `load_teacher`.

    Raises:
        ConfigError: There is no such device, or it has no such number format.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        *,
        input_size: tuple[int, int] | None,
        larger_is: LargerIs,
        device: str,
        precision: PrecisionName,
    ) -> None:
        super().__init__(name, fingerprint, input_size=input_size, larger_is=larger_is)
        self.device = choose_device(device)
        self.precision = _choose_precision(self.device, precision)

    @abstractmethod
    def estimate(self, photos: Tensor) -> Tensor:
        """Run the network.

        Args:
            photos: uint8 N×3×H×W RGB on `device`.

        Returns:
            float N×h×w at any resolution, in any scale.
        """

    @torch.inference_mode()
    def raw_depth(self, photos: np.ndarray) -> np.ndarray:
        try:
            # a tensor of its own: numpy arrays that come from shared memory are read-only
            batch = torch.tensor(photos.transpose(0, 3, 1, 2), device=self.device)
            with self.precision.autocast(self.device):
                depth = self.estimate(batch).float()
            return interpolate(depth[:, None], photos.shape[1:3], mode="bilinear")[:, 0].cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            first_line = str(error).partition("\n")[0]
            raise TeacherError(
                f"{self.name}: {len(photos)} photos at once do not fit into the memory of {self.device} "
                f"({first_line}); give a smaller batch size"
            ) from None


def digest_of(weights: Mapping[str, Tensor], *, without: Iterable[str] = ()) -> str:
    """SHA-256 over names, types, shapes and values of weights, the same for every file format.

    Args:
        weights: Tensors by name.
        without: Names to leave out.

    Returns:
        64 hex digits.
    """
    digest = hashlib.sha256()
    for name in sorted(weights.keys() - set(without)):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _choose_precision(device: torch.device, asked: PrecisionName) -> Precision:
    if device.type == "cpu" and asked == "bfloat16":
        # what forbids it in training does not concern inference
        return Precision(torch.bfloat16, "bfloat16: as configured")
    return choose_training_precision(device, asked)
