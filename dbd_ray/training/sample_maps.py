"""Maps of a run's network for a few validation photos, as one picture for every epoch."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np

from dbd_ray.engines import predict_focus
from dbd_ray.training.learner import Learner
from dbd_ray.training.samples import EncodedRow, eval_batches

PHOTOS = 4
GAP_PX = 4


def first_rows(rows: Iterable[Sequence[EncodedRow]]) -> list[EncodedRow]:
    """Take the first photos of all rows, the same ones in every epoch."""
    return list(islice(chain.from_iterable(rows), PHOTOS))


def sample_maps(learner: Learner, rows: Sequence[EncodedRow]) -> np.ndarray:
    """Draw photos with their masks and the maps of the network to keep.

    Args:
        learner: The run.
        rows: The photos, at least one.

    Returns:
        uint8 RGB: a line for each photo, which shows photo, mask and map side by side.
    """
    (batch,) = eval_batches(rows, batch_size=len(rows), size=learner.config.input_size)
    found = predict_focus(learner.best_network, batch.photos.to(learner.device), dtype=learner.precision.dtype)
    photos = batch.photos.permute(0, 2, 3, 1).numpy()
    lines = [
        np.concatenate([_framed(one) for one in (photo, _gray(truth[0].numpy()), _gray(focus))], 1)
        for photo, truth, focus in zip(photos, batch.focus, found.focus.cpu().numpy(), strict=True)
    ]
    return np.concatenate(lines)


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(values[..., None] * 255).astype(np.uint8), 3, axis=2)


def _framed(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255)
