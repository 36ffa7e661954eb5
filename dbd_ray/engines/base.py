"""The interface of engines, and the function from photos to maps that each of them runs."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dbd_ray.models import FocusNetwork, NetworkOutput


class NetworkMaps(NamedTuple):
    """A network's maps at its input size.

    Attributes:
        focus: float32 N×h×w in [0,1], 1 = in focus.
        depth: float32 N×h×w in [0,1], 0 near, 1 far; None where the network shows no depth.
    """

    focus: Tensor
    depth: Tensor | None


class Engine(Protocol):
    """Runs one network; see `engines.load_engine`."""

    @property
    def name(self) -> str:
        """One of `engines.ENGINES`."""
        ...

    def __call__(self, photos: Tensor) -> NetworkMaps:
        """Turn uint8 N×3×h×w RGB in main memory into maps there; h and w are the network's input size."""
        ...


class FocusFunction(nn.Module):
    """A network with its normalisation and sigmoid, so that all engines agree on both.

    Args:
        network: The network.
    """

    def __init__(self, network: FocusNetwork):
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> tuple[Tensor, ...]:
        """Return the focus map, and the depth where the network shows it, float32 N×h×w in [0,1] each.

        Args:
            photos: uint8 N×3×h×w RGB.
        """
        normalised = self.network.normalize(photos).to(next(self.network.parameters()).dtype)
        output: NetworkOutput = self.network(normalised, with_depth=self.network.shows_depth)
        focus = output.focus_logits[:, 0].float().sigmoid()
        return (focus,) if output.depth is None else (focus, output.depth[:, 0].float().clamp(0, 1))


def as_maps(results: tuple[Tensor, ...]) -> NetworkMaps:
    """Turn the results of `FocusFunction` into `NetworkMaps`."""
    return NetworkMaps(results[0], results[1] if len(results) > 1 else None)


@torch.inference_mode()
def predict_focus(network: FocusNetwork, photos: Tensor, *, dtype: torch.dtype = torch.float32) -> NetworkMaps:
    """Run a network in evaluation mode; afterwards each of its modules is in its former mode again.

    Args:
        network: A focus network, see `models`.
        photos: uint8 N×3×h×w RGB on the network's device.
        dtype: torch.float32, or torch.bfloat16 to run under autocast.

    Returns:
        The maps, on the network's device.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.autocast(photos.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            return as_maps(FocusFunction(network)(photos))
    finally:
        for module in training:
            module.training = True  # not train(), which would also wake parts that were frozen in evaluation mode
