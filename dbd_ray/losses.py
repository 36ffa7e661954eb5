"""Training losses of focus and depth maps (Cun & Pun, ECCV 2020, section 3.3), computed in float32."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import TrainingError
from dbd_ray.models.output import NetworkOutput

IOU_SMOOTH = 1e-3  # share of the picture's area added to intersection and union


def weighted_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy in which a class weighs the less the more of it is already right (eq. 2).

    The counts are taken over the batch at probability 0.5, without gradient; an absent class has weight 0.
    The mean over pixels keeps learning rate and gamma independent of the picture's size.

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.

    Returns:
        Scalar, float32.
    """
    logits, truth = _float_pair(logits, truth, "focus")
    with torch.no_grad():
        in_focus, predicted = truth > 0.5, logits > 0
        weight_in = 1 - _share(in_focus & predicted, in_focus)
        weight_out = 1 - _share(~in_focus & ~predicted, ~in_focus)
    per_pixel = weight_in * truth * F.logsigmoid(logits) + weight_out * (1 - truth) * F.logsigmoid(-logits)
    return -per_pixel.mean()


def plain_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels.

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.

    Returns:
        Scalar, float32.
    """
    return F.binary_cross_entropy_with_logits(*_float_pair(logits, truth, "focus"))


def soft_iou_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - intersection over union of the in-focus probabilities, per picture, mean over the batch.

    Both are smoothed by a thousandth of the picture's area, so that a picture with nothing in focus costs nothing
    when that is predicted, and still has a gradient when it is not.

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.

    Returns:
        Scalar in [0,1], float32.
    """
    logits, truth = _float_pair(logits, truth, "focus")
    focus = logits.sigmoid()
    both = (focus * truth).mean((1, 2, 3))
    either = (focus + truth - focus * truth).mean((1, 2, 3))
    return (1 - (both + IOU_SMOOTH) / (either + IOU_SMOOTH)).mean()


def depth_mse(depth: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Mean squared error against the teacher's depth (eq. 3), over the pictures that have one.

    Args:
        depth: N×1×H×W, any float dtype.
        target: N×1×H×W in [0,1], 0 = near, 1 = far; rows that are not valid may hold anything, NaN included.
        valid: N bool, which pictures have a target; None: all.

    Returns:
        Scalar, float32; zero (with a gradient of zero) if no picture has a target.
    """
    depth, target = _float_pair(depth, target, "depth")
    if valid is None:
        return F.mse_loss(depth, target)
    # every row stays in the graph: a worker whose batch has no depth must still give each parameter a gradient
    target = torch.where(valid[:, None, None, None], target, depth.detach())
    per_picture = (depth - target).square().mean((1, 2, 3))
    return per_picture.sum() / valid.sum().clamp(min=1)


def distillation_loss(
    output: NetworkOutput, focus: Tensor, depth: Tensor | None, depth_valid: Tensor | None, config: ObjectiveConfig
) -> dict[str, Tensor]:
    """Loss terms over the fused and the side outputs; their sum is the loss to minimise (section 3.3).

    Side outputs are enlarged bilinearly to the mask's size before the loss.

    Args:
        output: The network's maps, any float dtype.
        focus: N×1×H×W in [0,1], 1 = in focus.
        depth: N×1×H×W in [0,1], 0 = near, 1 = far; None: no picture of this batch has a teacher's depth.
        depth_valid: N bool, which pictures have depth; None: all.
        config: Which terms, and their weights.

    Returns:
        `bce`; `iou` if it has a weight; `depth` if the network predicts depth: float32 scalars, already weighted.

    Raises:
        TrainingError: Shapes do not belong together.
    """
    size = (focus.shape[-2], focus.shape[-1])
    focus_maps = _enlarged((output.focus_logits, *output.side_focus_logits), size)
    bce = weighted_bce if config.bce == "weighted" else plain_bce
    terms = {"bce": _over_levels(lambda logits: bce(logits, focus), focus_maps, config.side_weight)}
    if config.iou_weight > 0:
        iou = _over_levels(lambda logits: soft_iou_loss(logits, focus), focus_maps, config.side_weight)
        terms["iou"] = config.iou_weight * iou
    if output.depth is not None:
        if depth is None:
            depth, depth_valid = torch.zeros_like(focus), focus.new_zeros(len(focus), dtype=torch.bool)
        target, valid = depth, depth_valid
        depth_maps = _enlarged((output.depth, *output.side_depth), size)
        mse = _over_levels(lambda predicted: depth_mse(predicted, target, valid), depth_maps, config.side_weight)
        terms["depth"] = config.depth_weight * mse
    return terms


def _over_levels(loss: Callable[[Tensor], Tensor], maps: Sequence[Tensor], side_weight: float) -> Tensor:
    fused, *sides = (loss(one) for one in maps)
    return fused + side_weight * torch.stack(sides).sum() if sides else fused


def _enlarged(maps: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
    # float32 before enlarging: bfloat16 would round the interpolation itself
    return [
        one.float() if one.shape[-2:] == size else F.interpolate(one.float(), size, mode="bilinear") for one in maps
    ]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    # an absent class counts as wholly right, which gives it weight 0
    count = whole.sum()
    return torch.where(count > 0, part.sum() / count.clamp(min=1), 1.0)


def _float_pair(predicted: Tensor, truth: Tensor, what: str) -> tuple[Tensor, Tensor]:
    if predicted.shape != truth.shape:
        # broadcasting would otherwise compare every picture with every other one
        raise TrainingError(
            f"{what}: the prediction is {tuple(predicted.shape)} but the truth {tuple(truth.shape)}; "
            "give both as N×1×H×W"
        )
    return predicted.float(), truth.float()
