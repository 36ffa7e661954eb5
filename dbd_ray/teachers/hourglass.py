"""The kind `hourglass`: the teacher of the paper, with weights in the layout of the published PyTorch files.

Written after the authors' Torch7 code (github.com/princeton-vl/relative_depth) and the layout in which MegaDepth
released its weights (github.com/zhengqili/MegaDepth, `best_generalization_net_G.pth`). Neither file was at hand:
names, shapes and structure are tested, the maps of the real weights are not.
"""

import io
from collections.abc import Mapping
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from dbd_ray.errors import TeacherError
from dbd_ray.names import PrecisionName
from dbd_ray.teachers.hourglass_network import hourglass
from dbd_ray.teachers.loading import fingerprint_of, read_weights, stem
from dbd_ray.teachers.spec import TeacherSpec
from dbd_ray.teachers.torch_teacher import TorchTeacher, digest_of

CODE_VERSION = 1  # raised when this code gives other maps for the same weights
INPUT_SIZE = (240, 320)
DATA_PARALLEL = "module."


class HourglassTeacher(TorchTeacher):
    """The network of Chen et al. 2016, trained to give the farther of two points the larger value (section 4).

    The paper's text says the opposite; its authors correct it in issue 5 of their repository. MegaDepth's weights give
    the logarithm of depth, which has the same order.

    Args:
        name: As for `DepthTeacher`.
        network: Made by `hourglass`, with trained weights.
        device: As for `load_teacher`.
        precision: As for `load_teacher`.
    """

    def __init__(self, name: str, network: nn.Sequential, device: str, precision: PrecisionName) -> None:
        preprocessing = {"code": CODE_VERSION, "input_size": INPUT_SIZE}
        super().__init__(
            name,
            fingerprint_of(digest_of(network.state_dict()), preprocessing),
            input_size=INPUT_SIZE,
            larger_is="far",
            device=device,
            precision=precision,
        )
        self._network = network.to(self.device).eval()

    def estimate(self, photos: Tensor) -> Tensor:
        return cast(Tensor, self._network(photos.float() / 255))[:, 0]


def load(spec: TeacherSpec, device: str, precision: PrecisionName) -> HourglassTeacher:
    """Load `hourglass:WEIGHTS`: path or URI of a .safetensors file, or of a .pth file (read with `weights_only=True`).

    Raises:
        TeacherError: The file is missing, damaged, or of another network; lists all tensors that do not fit.
        ConfigError: An option was given, or there is no such device.
    """
    spec.allow_options()
    tensors = _read(spec)
    with torch.random.fork_rng(devices=[]):
        network = hourglass()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise TeacherError(
            f"{spec.label}: these are not the weights of the hourglass network: {error}\n"
            "give MegaDepth's best_generalization_net_G.pth or another file with the same names"
        ) from None
    return HourglassTeacher(f"{spec.kind}:{stem(spec.target)}", network, device, precision)


def _read(spec: TeacherSpec) -> dict[str, Tensor]:
    content = read_weights(spec)
    try:
        if spec.target.endswith(".safetensors"):
            return safetensors.torch.load(content)
        read: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged pickles raise almost anything
        first_line = str(error).partition("\n")[0]
        raise TeacherError(
            f"{spec.label}: no file of plain torch tensors ({first_line}); get it again. A Torch7 .t7 file must be "
            "converted first"
        ) from None
    inner = read.get("state_dict", read) if isinstance(read, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(tensor, Tensor) for tensor in inner.values()):
        raise TeacherError(f"{spec.label}: holds no named tensors; give the network's state dict")
    return {str(name).removeprefix(DATA_PARALLEL): tensor for name, tensor in inner.items()}
