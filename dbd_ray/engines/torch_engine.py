"""Engines that need torch alone."""

from collections.abc import Callable
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from dbd_ray.engines.base import FocusFunction, NetworkMaps, as_maps
from dbd_ray.engines.fuse import fuse_norms
from dbd_ray.models import FocusNetwork
from dbd_ray.models.hardware import multiplies_bfloat16

TorchEngineName = Literal["eager", "fused", "compiled"]


def fused_function(network: FocusNetwork, device: torch.device) -> nn.Module:
    """Copy a network as the engine "fused" runs it, see `TorchEngine`."""
    function = fuse_norms(FocusFunction(deepcopy(network)).eval())
    function = function.to(device).to(memory_format=torch.channels_last)
    return function.to(torch.bfloat16) if multiplies_bfloat16(device) else function


class TorchEngine:
    """Runs a network with torch.

    Args:
        name: "eager": as it was trained, float32. "fused": norms folded into convolutions, channels last, bfloat16
            where the hardware multiplies it. "compiled": the same by torch.compile, which needs a C++ compiler (on a
            GPU: Triton) and minutes for the first photos.
        network: The network; "eager" moves it to the device, the others copy it.
        device: Where to run.
    """

    def __init__(self, name: TorchEngineName, network: FocusNetwork, device: torch.device) -> None:
        self.name = name
        self.device = device
        self._run: Callable[[Tensor], tuple[Tensor, ...]]
        if name == "eager":
            self._run = FocusFunction(network.to(device)).eval()
            return
        function = fused_function(network, device)
        self._run = torch.compile(function) if name == "compiled" else function

    @torch.inference_mode()
    def __call__(self, photos: Tensor) -> NetworkMaps:
        """Turn uint8 N×3×h×w RGB in main memory into maps there."""
        given = photos.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return as_maps(tuple(result.cpu() for result in self._run(given)))
