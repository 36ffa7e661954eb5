"""The hourglass teacher of the paper, with weights in the layout of the published PyTorch files.

Written by the authors' Torch7 code (github.com/princeton-vl/relative_depth) and by the layout in which MegaDepth
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
from dbd_ray.teachers.hourglass_network import hourglass
from dbd_ray.teachers.request import TeacherRequest
from dbd_ray.teachers.torch_teacher import TorchTeacher, digest_of
from dbd_ray.teachers.weights import fingerprint_of, read_weights, stem

CODE_VERSION = 1  # raised when this code gives other maps for the same weights
INPUT_SIZE = (240, 320)
DATA_PARALLEL = "module."


class HourglassTeacher(TorchTeacher):
    """Chen et al. 2016: trained so that of two points the farther one has the larger value (section 4).

    The paper's text reads the other way round; its authors say which it is in issue 5 of their repository. MegaDepth's
    weights give the logarithm of depth, which has the same order.

    Args:
        name: See `DepthTeacher`.
        network: From `hourglass`, with trained weights.
        request: Tells the device and the number format.
    """

    def __init__(self, name: str, network: nn.Sequential, request: TeacherRequest) -> None:
        preprocessing = {"code": CODE_VERSION, "input_size": INPUT_SIZE}
        super().__init__(
            name,
            fingerprint_of(digest_of(network.state_dict()), preprocessing),
            input_size=INPUT_SIZE,
            larger_is="far",
            request=request,
        )
        self._network = network.to(self.device).eval()

    def estimate(self, photos: Tensor) -> Tensor:
        return cast(Tensor, self._network(photos.float() / 255))[:, 0]


def load(request: TeacherRequest) -> HourglassTeacher:
    """Load `hourglass:WEIGHTS`, a .pth (read without running anything in it) or .safetensors file or URI.

    Raises:
        TeacherError: The file is missing, damaged, or not this network's; all tensors that do not fit are listed.
        ConfigError: An option was given, or there is no such device.
    """
    request.allow_options()
    tensors = _read(request)
    with torch.random.fork_rng(devices=[]):
        network = hourglass()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise TeacherError(
            f"{request.spec}: these are not the weights of the hourglass network: {error}\n"
            "give MegaDepth's best_generalization_net_G.pth or another file with the same names"
        ) from None
    return HourglassTeacher(f"{request.kind}:{stem(request.target)}", network, request)


def _read(request: TeacherRequest) -> dict[str, Tensor]:
    content = read_weights(request.target, request.spec)
    try:
        if request.target.endswith(".safetensors"):
            return safetensors.torch.load(content)
        read: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged pickles raise almost anything
        first_line = str(error).partition("\n")[0]
        raise TeacherError(
            f"{request.spec}: no file of plain torch tensors ({first_line}); get it again. A Torch7 .t7 file must be "
            "converted first"
        ) from None
    inner = read.get("state_dict", read) if isinstance(read, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(tensor, Tensor) for tensor in inner.values()):
        raise TeacherError(f"{request.spec}: holds no named tensors; give the network's state dict")
    return {str(name).removeprefix(DATA_PARALLEL): tensor for name, tensor in inner.items()}
