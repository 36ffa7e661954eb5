"""Training losses of focus and depth maps (Cun & Pun, ECCV 2020, section 3.3), computed in float32."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import TrainingError
from dbd_ray.models.output import NetworkOutput

IOU_SMOOTH = 1e-3  # share of the picture's area that is added to intersection and union


class DetectorTeacherMaps(NamedTuple):
    """Maps of detector teachers for a batch, without gradient.

    Attributes:
        focus: float32 N×1×H×W probabilities, 1 = in focus, the mean over the teachers.
        features: Maps of the first teacher's encoder, N×C×h×w each, shallow to deep; None where no loss uses them.
    """

    focus: Tensor
    features: tuple[Tensor, ...] | None


Total = Callable[[Tensor], Tensor]


def weighted_bce(logits: Tensor, truth: Tensor, over_workers: Total = lambda counts: counts) -> Tensor:
    """Binary cross-entropy in which a class weighs less the more of its pixels are right already (eq. 2).

    The counts are taken over the batch at probability 0.5, without gradient; an absent class has weight 0.
    The mean over pixels keeps learning rate and gamma independent of the picture's size. A pixel of soft truth belongs
    to both classes in part, in its weight as in the counts, so that its loss is least at that truth.

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.
        over_workers: Adds up the counts of all workers where the batch is spread over several.

    Returns:
        Scalar, float32.
    """
    logits, truth = _float_pair(logits, truth, "focus")
    with torch.no_grad():
        predicted = logits > 0
        right_in, all_in = (truth * predicted).sum(), truth.sum()
        right_out, all_out = ((1 - truth) * ~predicted).sum(), (1 - truth).sum()
        right_in, all_in, right_out, all_out = over_workers(torch.stack([right_in, all_in, right_out, all_out]))
        weight_in, weight_out = 1 - _share(right_in, all_in), 1 - _share(right_out, all_out)
        weight = weight_in * truth + weight_out * (1 - truth)
    return F.binary_cross_entropy_with_logits(logits, truth, weight)


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
    when that is predicted, and still has a gradient when it is not. For soft truth, too, the loss is least where the
    prediction equals it, as in the Jaccard metric losses (Wang et al., NeurIPS 2023).

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.

    Returns:
        Scalar in [0,1], float32.
    """
    logits, truth = _float_pair(logits, truth, "focus")
    focus = logits.sigmoid()
    both = torch.minimum(focus, truth).mean((1, 2, 3))
    either = torch.maximum(focus, truth).mean((1, 2, 3))
    return (1 - (both + IOU_SMOOTH) / (either + IOU_SMOOTH)).mean()


def l1_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of the in-focus probabilities, `mae` in `metrics`.

    Args:
        logits: N×1×H×W, any float dtype; above 0 = in focus.
        truth: N×1×H×W in [0,1], 1 = in focus.

    Returns:
        Scalar in [0,1], float32.
    """
    logits, truth = _float_pair(logits, truth, "focus")
    return (logits.sigmoid() - truth).abs().mean()


def depth_mse(depth: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Mean squared error against the depth teacher's map (eq. 3), over the pictures that have one.

    Args:
        depth: N×1×H×W, any float dtype.
        target: N×1×H×W in [0,1], 0 = near, 1 = far; rows that are not valid may hold anything, NaN included.
        valid: N bool, True for pictures that have a target; None: all have.

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


def attention_transfer(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Squared difference of where two encoders are active (Zagoruyko & Komodakis, ICLR 2017, section 3.1).

    An attention map is the mean over channels of the squared activations, divided by its norm over the picture, so
    that the encoders' widths and scales do not matter.

    Args:
        student: Maps N×C×h×w, any float dtype, shallow to deep.
        teacher: As many; their attention maps are resized where sizes differ, and take no gradient.

    Returns:
        Scalar, float32: the mean over pixels and pictures, summed over the maps.

    Raises:
        TrainingError: There are no maps, or not as many of each.
    """
    if not student or len(student) != len(teacher):
        raise TrainingError(
            f"features: the student's encoder gives {len(student)} maps, the teacher's {len(teacher)}; "
            "networks must return the same number in NetworkOutput.features, or set objective.feature_weight=0"
        )
    differences = []
    for mine, theirs in zip(student, teacher, strict=True):
        wanted = _attention(theirs.detach())
        if wanted.shape[-2:] != mine.shape[-2:]:
            wanted = F.interpolate(wanted, mine.shape[-2:], mode="bilinear", antialias=True)
        differences.append(F.mse_loss(_unit(_attention(mine)), _unit(wanted)))
    return torch.stack(differences).sum()


def distillation_loss(
    output: NetworkOutput,
    focus: Tensor,
    depth: Tensor | None,
    depth_valid: Tensor | None,
    config: ObjectiveConfig,
    teacher: DetectorTeacherMaps | None = None,
    over_workers: Total = lambda counts: counts,
) -> dict[str, Tensor]:
    """Loss terms over the fused and the side outputs; their sum is the loss to minimise (section 3.3).

    Side outputs are enlarged bilinearly to the mask's size before the loss. With detector teachers, every focus term is
    a mean of that against the mask and that against the teachers' map, weighted by `config.teacher_weight`.

    Args:
        output: The network's maps, any float dtype.
        focus: N×1×H×W in [0,1], 1 = in focus.
        depth: N×1×H×W in [0,1], 0 = near, 1 = far; None: no picture of this batch has a depth teacher's map.
        depth_valid: N bool, True for pictures that have a depth; None: all have.
        config: The terms and their weights.
        teacher: Maps of the detector teachers for the same photos; None: there are none.
        over_workers: Adds up the counts of `weighted_bce` where the batch is spread over several workers.

    Returns:
        `bce`; `iou` and `l1` if they have a weight; `depth` if the network predicts depth; `features` if `teacher` has
        them: float32 scalars, already weighted.

    Raises:
        TrainingError: Shapes do not belong together.
    """
    size = (focus.shape[-2], focus.shape[-1])
    focus_maps = _enlarged((output.focus_logits, *output.side_focus_logits), size)
    truths = [(1.0, focus)]
    if teacher is not None:
        truths = [(1 - config.teacher_weight, focus), (config.teacher_weight, teacher.focus)]

    def against_truths(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        parts = [
            share * _over_levels(loss, focus_maps, truth, config.side_weight) for share, truth in truths if share > 0
        ]
        return torch.stack(parts).sum()

    weighted = partial(weighted_bce, over_workers=over_workers)
    terms = {"bce": against_truths(weighted if config.bce == "weighted" else plain_bce)}
    if config.iou_weight > 0:
        terms["iou"] = config.iou_weight * against_truths(soft_iou_loss)
    if config.l1_weight > 0:
        terms["l1"] = config.l1_weight * against_truths(l1_loss)
    if output.depth is not None:
        if depth is None:
            depth, depth_valid = torch.zeros_like(focus), focus.new_zeros(len(focus), dtype=torch.bool)
        depth_maps = _enlarged((output.depth, *output.side_depth), size)
        mse = _over_levels(partial(depth_mse, valid=depth_valid), depth_maps, depth, config.side_weight)
        terms["depth"] = config.depth_weight * mse
    if teacher is not None and teacher.features is not None:
        terms["features"] = config.feature_weight * attention_transfer(output.features, teacher.features)
    return terms


def _over_levels(
    loss: Callable[[Tensor, Tensor], Tensor], maps: Sequence[Tensor], truth: Tensor, side_weight: float
) -> Tensor:
    fused, *sides = (loss(one, truth) for one in maps)
    return fused + side_weight * torch.stack(sides).sum() if sides else fused


def _enlarged(maps: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
    # float32 before enlarging: bfloat16 would round the interpolation itself
    return [
        one.float() if one.shape[-2:] == size else F.interpolate(one.float(), size, mode="bilinear") for one in maps
    ]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    # an absent class counts as wholly right, which gives it weight 0
    return torch.where(whole > 0, part / whole, 1.0)


def _attention(features: Tensor) -> Tensor:
    return features.float().square().mean(1, keepdim=True)


def _unit(attention: Tensor) -> Tensor:
    return F.normalize(attention.flatten(1))


def _float_pair(predicted: Tensor, truth: Tensor, what: str) -> tuple[Tensor, Tensor]:
    if predicted.shape != truth.shape:
        # broadcasting would otherwise compare every picture with every other one
        raise TrainingError(
            f"{what}: the prediction is {tuple(predicted.shape)} but the truth {tuple(truth.shape)}; "
            "give both as N×1×H×W"
        )
    return predicted.float(), truth.float()
