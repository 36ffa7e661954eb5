"""Folding batch normalisation into the convolutions before it, for inference."""

from collections.abc import Iterator
from itertools import pairwise

from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse_norms(module: nn.Module) -> nn.Module:
    """Fold each batch norm that directly follows a convolution into it, in place.

    Only where the order of execution is known: inside `nn.Sequential`, and inside timm's blocks, which hold their
    layers in the order in which they run them.

    Args:
        module: In evaluation mode.
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
