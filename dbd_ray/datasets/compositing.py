"""Disc blur that varies from pixel to pixel, with near surfaces covering far ones."""

from typing import NamedTuple

import cv2
import numpy as np

from dbd_ray.images.disc import disc_kernel

# smaller steps of depth between neighbours belong to one slanted surface, larger ones to two surfaces
_SURFACE_GAP_PX = 1.0
_NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


class _Hidden(NamedTuple):
    """Surfaces continued behind the edges of nearer ones.

    Attributes:
        position: int [n], flat pixel positions.
        linear: float32 n×3, linear RGB there.
        coc_px: float32 [n], signed CoC diameter there, px.
    """

    position: np.ndarray
    linear: np.ndarray
    coc_px: np.ndarray


def composite(linear: np.ndarray, coc_px: np.ndarray) -> np.ndarray:
    """Spread every pixel over its circle of confusion, with occlusion.

    The picture is cut into slices of similar CoC. From the farthest to the nearest, each slice's colour and
    coverage are convolved with its disc and laid over what is there. A near surface's blurred rim lets through a
    background that the picture does not show: the surface that ends at the rim is continued behind it, mirrored
    at the edge. The sum is divided by its total coverage, because the slices of one slanted surface overlap at
    their blurred ends without covering each other fully, and a constant picture has to stay constant.

    Args:
        linear: float32 HxWx3, linear light, everything in focus.
        coc_px: float32 HxW, signed CoC diameter in pixels, larger is farther.

    Returns:
        float32 HxWx3, linear light.
    """
    edges = slice_edges(float(coc_px.min()), float(coc_px.max()))
    # slice 0 is the farthest
    slice_of = (len(edges) - np.digitize(coc_px, edges)).astype(np.int32)
    hidden = _behind_rims(linear, coc_px)
    hidden_slice = len(edges) - np.digitize(hidden.coc_px, edges)
    total = np.zeros((*coc_px.shape, 4), np.float32)
    for index in np.unique(np.concatenate([slice_of.ravel(), hidden_slice])):
        own = slice_of == index
        behind = hidden_slice == index
        disc = disc_kernel(_mean_diameter(coc_px[own], hidden.coc_px[behind]))
        coverage = own.copy()
        coverage.ravel()[hidden.position[behind]] = True
        rows, columns = _surroundings(coverage, len(disc) // 2 + 1)
        layer = np.empty((rows.stop - rows.start, columns.stop - columns.start, 4), np.float32)
        layer[..., :3] = linear[rows, columns]
        y, x = np.divmod(hidden.position[behind], coc_px.shape[1])
        shown = own[y, x]
        layer[y[~shown] - rows.start, x[~shown] - columns.start, :3] = hidden.linear[behind][~shown]
        layer[..., 3] = 1
        layer *= coverage[rows, columns, None]
        if len(disc) > 1:
            layer = cv2.filter2D(layer, -1, disc, borderType=cv2.BORDER_REFLECT_101)
        window = total[rows, columns]
        window *= 1 - layer[..., 3:]
        window += layer
    return total[..., :3] / total[..., 3:]


def slice_edges(low_px: float, high_px: float) -> np.ndarray:
    """Choose where to cut a range of signed CoC diameters into slices.

    Args:
        low_px: Smallest signed CoC diameter, px.
        high_px: Largest signed CoC diameter, px.

    Returns:
        Rising edges, symmetric about 0: the middle slice is [-1, 1), whose disc fits into one pixel; then steps
        of 15% of the diameter, at least 1 and at most 2 px, so at most 1 px of radius.
    """
    edges = [1.0]
    while edges[-1] < max(-low_px, high_px):
        edges.append(edges[-1] + min(max(0.15 * edges[-1], 1.0), 2.0))
    return np.array([-edge for edge in reversed(edges)] + edges)


def _mean_diameter(*coc_px: np.ndarray) -> float:
    # quarters of a pixel are finer than the slices and let most discs come from the cache
    return round(abs(float(np.concatenate(coc_px).mean())) * 4) / 4


def _surroundings(coverage: np.ndarray, reach: int) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(coverage.astype(np.uint8))
    return (
        slice(max(y - reach, 0), min(y + height + reach, coverage.shape[0])),
        slice(max(x - reach, 0), min(x + width + reach, coverage.shape[1])),
    )


def _behind_rims(linear: np.ndarray, coc_px: np.ndarray) -> _Hidden:
    height, width = coc_px.shape
    farthest_near = cv2.dilate(coc_px, np.ones((3, 3), np.uint8))
    rim = farthest_near - coc_px > _SURFACE_GAP_PX
    if not rim.any():
        return _Hidden(np.empty(0, np.intp), np.empty((0, 3), np.float32), np.empty(0, np.float32))
    distance, label = cv2.distanceTransformWithLabels(
        (~rim).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # labels number the rim's pixels; ask each for its own
    rim_position = np.flatnonzero(rim)
    position_of_label = np.zeros(len(rim_position) + 1, np.intp)
    position_of_label[label.ravel()[rim_position]] = rim_position
    nearest = position_of_label[label]
    # only a rim that is itself blurred lets light past, as far as its own disc reaches
    reach = np.abs(coc_px) / 2 + 1
    candidate = (distance <= reach) & (farthest_near.ravel()[nearest] - coc_px > _SURFACE_GAP_PX)
    position = np.flatnonzero(candidate)
    edge = nearest.ravel()[position]
    beyond = _farthest_neighbour(coc_px, edge)
    mirrored_y, mirrored_x = (
        edge_axis + beyond_axis - own_axis
        for edge_axis, beyond_axis, own_axis in zip(
            np.divmod(edge, width), np.divmod(beyond, width), np.divmod(position, width), strict=True
        )
    )
    mirrored = mirrored_y.clip(0, height - 1) * width + mirrored_x.clip(0, width - 1)
    same_surface = np.abs(coc_px.ravel()[mirrored] - coc_px.ravel()[beyond]) <= _SURFACE_GAP_PX
    seen = np.where(same_surface, mirrored, beyond)
    return _Hidden(position, linear.reshape(-1, 3)[seen], coc_px.ravel()[seen])


def _farthest_neighbour(coc_px: np.ndarray, position: np.ndarray) -> np.ndarray:
    height, width = coc_px.shape
    y, x = np.divmod(position, width)
    around = np.stack([(y + dy).clip(0, height - 1) * width + (x + dx).clip(0, width - 1) for dy, dx in _NEIGHBOURS])
    farthest = coc_px.ravel()[around].argmax(axis=0)
    return around[farthest, np.arange(len(position))]
