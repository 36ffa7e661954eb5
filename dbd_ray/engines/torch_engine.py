"""Engines that need only torch: eager, fused, compiled."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Literal

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dbd_ray.engines.base import FocusFunction, NetworkMaps, as_maps
from dbd_ray.hardware import multiplies_bfloat16
from dbd_ray.models import FocusNetwork

TorchEngineName = Literal["eager", "fused", "compiled"]


def fused_function(network: FocusNetwork, device: torch.device) -> nn.Module:
    """Make the function that the engine "fused" runs, see `TorchEngine`; the network itself is copied."""
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
        device: Device to run on.
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


def fuse_norms(module: nn.Module) -> nn.Module:
    """Fold each batch norm that directly follows a convolution into it, in place.

    Only where the order of execution is known: inside `nn.Sequential`, and inside timm's blocks, which hold their
    layers in the order in which they run them.

    Args:
        module: A module in evaluation mode.

    Returns:
        The same module.
    """
    for parent in list(module.modules()):
        if isinstance(parent, nn.Sequential) or type(parent).__module__.startswith("timm."):
            for (conv_name, conv), (norm_name, norm) in _pairs(parent):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                # timm's batch norm brings the activation along
                setattr(parent, norm_name, norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity())
    return module


def _pairs(parent: nn.Module) -> Iterator[tuple[tuple[str, nn.Conv2d], tuple[str, nn.BatchNorm2d]]]:
    for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and conv.out_channels == norm.num_features:
            yield (conv_name, conv), (norm_name, norm)
