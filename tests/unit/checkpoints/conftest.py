"""State dicts of the released networks, filled by the rule that the reference outputs were made with."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def released(reference: Path) -> Callable[[str], dict[str, Tensor]]:
    """Function that gives the state dict of a released network, named as in `state_dict_NAME.json`."""

    def fill(name: str) -> dict[str, Tensor]:
        shapes = json.loads((reference / f"state_dict_{name}.json").read_text())
        gain = 2 if name.startswith("dbdgan") else 1
        return {tensor: torch.from_numpy(_fill(tensor, shape, gain)) for tensor, shape in shapes.items()}

    return fill


def _fill(name: str, shape: list[int], gain: int) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(0)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype("float32")
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(noise)
    if name.endswith(("running_mean", ".bias")):
        return np.float32(0.05) * noise
    if len(shape) == 1:
        return 1 + np.float32(0.1) * noise
    return noise * np.float32(np.sqrt(gain / np.prod(shape[1:])))
