"""Self-attention over the positions of a feature map, without the matrix of all pairs in memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 8  # channels of values per channel of queries and keys


class SelfAttention(nn.Module):
    """Self-attention as in SAGAN (Zhang et al., ICML 2019, equations 1 to 3), added to its input.

    Args:
        channels: Width of input and output, a multiple of 8.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // HEADS, 1)
        self.key = nn.Conv2d(channels, channels // HEADS, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×H×W."""
        # torch's kernel that goes through the pairs block by block wants values as wide as keys: the values are cut
        # into heads that all look the same way, for one more product of this size instead of the matrix of all pairs
        query, key, value = (
            project(features)
            .flatten(2)
            .unflatten(1, (heads, -1))
            .transpose(2, 3)
            .contiguous()
            .expand(-1, HEADS, -1, -1)
            for project, heads in ((self.query, 1), (self.key, 1), (self.value, HEADS))
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        attended = attended.transpose(2, 3).flatten(1, 2).unflatten(2, features.shape[-2:])
        return features + self.gain * attended
