"""Thumbnails of evaluated photos and their focus maps, and pictures made of them for reports."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP_PX = 6


@dataclass(frozen=True)
class EvaluatedPhoto:
    """A photo with its true and its predicted focus map and its own metrics.

    Args:
        id: Name of the photo in its dataset.
        values: Per-photo metrics as `FocusMetrics.update` gave them.
        photo: uint8 RGB H×W×3.
        truth: Mask, bool or uint8 H×W, in focus where True or above 127.
        focus: Predicted focus map, float32 H×W in [0,1].
    """

    id: str
    values: Mapping[str, float]
    photo: NDArray[np.uint8]
    truth: NDArray[Any]
    focus: NDArray[np.float32]

    @property
    def mae(self) -> float:
        """This photo's mean absolute error in [0,1]."""
        return self.values["mae"]


def thumbnail(evaluated: EvaluatedPhoto, longest_px: int = 400) -> EvaluatedPhoto:
    """Shrink an evaluated photo, its truth and its focus map to one small size.

    Args:
        evaluated: The photo; truth and focus map may differ from it in size, and get the photo's shape.
        longest_px: Length of the longer side afterwards, in pixels; nothing is enlarged.

    Returns:
        The same photo at that size, truth as uint8, and unchanged values.
    """
    height, width = evaluated.photo.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    truth = evaluated.truth if evaluated.truth.dtype == np.bool_ else evaluated.truth > 127
    focus = Image.fromarray(np.asarray(evaluated.focus, np.float32))
    return EvaluatedPhoto(
        evaluated.id,
        dict(evaluated.values),
        np.asarray(Image.fromarray(evaluated.photo).resize(size, Image.Resampling.LANCZOS)),
        np.asarray(Image.fromarray(truth.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)),
        np.asarray(focus.resize(size, Image.Resampling.BILINEAR)).clip(0, 1),
    )


def keep_worst(kept: Sequence[EvaluatedPhoto], photo: EvaluatedPhoto, limit: int = 12) -> list[EvaluatedPhoto]:
    """Keep the photos with the highest mean absolute error among those seen so far.

    Args:
        kept: Result of the previous call; empty at first.
        photo: The next photo; shrunk by `thumbnail` if it is kept.
        limit: Largest number of photos to keep.

    Returns:
        At most `limit` photos, the worst first.
    """
    if len(kept) >= limit and photo.mae <= min((k.mae for k in kept), default=np.inf):
        return list(kept)
    return sorted((*kept, thumbnail(photo)), key=lambda p: p.mae, reverse=True)[:limit]


def panels(evaluated: EvaluatedPhoto) -> dict[str, NDArray[np.uint8]]:
    """Render photo, truth, prediction and absolute error as thumbnails.

    Args:
        evaluated: The photo.

    Returns:
        uint8 RGB pictures of one size by caption; in the error map dark is right and bright is wrong.
    """
    small = thumbnail(evaluated)
    error = np.abs(small.focus - small.truth.astype(np.float32) / 255)
    heat = matplotlib.colormaps["inferno"](error, bytes=True)[..., :3]
    return {
        "photo": small.photo,
        "truth": _gray(small.truth),
        "prediction": _gray(np.rint(small.focus * 255).astype(np.uint8)),
        "error": np.ascontiguousarray(heat),
    }


def strip_png(evaluated: EvaluatedPhoto) -> bytes:
    """Render photo, truth, prediction and absolute error side by side.

    Args:
        evaluated: The photo.

    Returns:
        One PNG file.
    """
    pictures = list(panels(evaluated).values())
    gap = np.full((pictures[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    row = [pictures[0]]
    for picture in pictures[1:]:
        row += [gap, picture]
    return _encoded(np.concatenate(row, axis=1), "PNG")


def picture_uri(picture: NDArray[np.uint8], lossy: bool = True) -> str:
    """Encode a picture for embedding in a page.

    Args:
        picture: uint8 RGB H×W×3.
        lossy: JPEG instead of PNG, for pictures without hard edges.

    Returns:
        A `data:` URI.
    """
    kind = "JPEG" if lossy else "PNG"
    return data_uri(_encoded(picture, kind), f"image/{kind.lower()}")


def data_uri(content: bytes, media_type: str) -> str:
    """Wrap a file's bytes as a `data:` URI.

    Args:
        content: The file.
        media_type: For instance `image/svg+xml`.

    Returns:
        The URI, base64.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _gray(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(levels[..., None], 3, axis=2)


def _encoded(picture: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": 86} if kind == "JPEG" else {"optimize": True}
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()
