"""Self-attention over the positions of a feature map, in blocks: a large matrix of all pairs is never held whole."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

REDUCTION = 8  # channels of the map for each one of queries and keys
BLOCK = 1024  # positions that look at all others at once


class SelfAttention(nn.Module):
    """Self-attention as in SAGAN (Zhang et al., ICML 2019, equations 1 to 3), added to its input.

    Positions look in blocks, whose weights are computed once more on the way back instead of being kept.

    Args:
        channels: Width of input and output, at least 8.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.key = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×H×W."""
        key, value = self.key(features).flatten(2), self.value(features).flatten(2).transpose(1, 2)
        query = self.query(features).flatten(2).transpose(1, 2)
        blocks = -(-int(query.shape[1]) // BLOCK)
        queries = query.chunk(blocks, 1) if blocks > 1 else (query,)
        several = blocks > 1 and torch.is_grad_enabled()
        looked = [
            checkpoint(_look, query, key, value, use_reentrant=False) if several else _look(query, key, value)
            for query in queries
        ]
        attended = torch.cat(looked, 1).transpose(1, 2).unflatten(2, features.shape[-2:])
        return features + self.gain * attended


def _look(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key).softmax(-1) @ value
