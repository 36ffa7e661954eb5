import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import TrainingError
from dbd_ray.images.encode import decode_mask
from dbd_ray.metrics import FocusMetrics
from dbd_ray.models.output import NetworkOutput
from dbd_ray.training.losses import depth_mse, distillation_loss, l1_loss, plain_bce, soft_iou_loss, weighted_bce


def _row(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def _output(seed: int = 0, with_depth: bool = True, dtype: torch.dtype = torch.float32) -> NetworkOutput:
    generator = torch.Generator().manual_seed(seed)

    def maps() -> list[Tensor]:
        sizes = [(8, 8), (2, 2), (4, 4), (8, 8)]
        return [torch.randn(2, 1, *size, generator=generator).to(dtype).requires_grad_() for size in sizes]

    focus, *side_focus = maps()
    depth, *side_depth = maps()
    return NetworkOutput(
        focus, depth if with_depth else None, tuple(side_focus), tuple(side_depth) if with_depth else ()
    )


def test_weighted_bce_is_the_papers_equation_2() -> None:
    # in focus: one of two found; out of focus: one of three found
    logits, truth = _row(2.0, -1.0, 3.0, 0.5, -2.0), _row(1, 1, 0, 0, 0)
    probability = [1 / (1 + math.exp(-x)) for x in (2.0, -1.0, 3.0, 0.5, -2.0)]
    expected = (1 - 1 / 2) * -sum(math.log(p) for p in probability[:2])
    expected += (1 - 1 / 3) * -sum(math.log(1 - p) for p in probability[2:])
    assert weighted_bce(logits, truth).item() == pytest.approx(expected / 5, rel=1e-6)


def test_weighted_bce_takes_no_gradient_through_its_weights() -> None:
    logits, truth = _row(2.0, -1.0, 3.0, 0.5, -2.0).requires_grad_(), _row(1, 1, 0, 0, 0)
    weighted_bce(logits, truth).backward()
    weights = torch.where(truth > 0, 1 / 2, 2 / 3)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, weights * (logits.detach().sigmoid() - truth) / 5)


@pytest.mark.parametrize("everywhere", [0.0, 1.0])
def test_weighted_bce_gives_an_absent_class_no_weight(everywhere: float) -> None:
    truth = torch.full((1, 1, 2, 2), everywhere)
    wrong, right = (1 - 2 * truth) * 2.0, (2 * truth - 1) * 2.0
    assert weighted_bce(right, truth).item() == 0
    assert weighted_bce(wrong, truth).item() == pytest.approx(math.log1p(math.exp(2)), rel=1e-6)


def test_weighted_bce_counts_over_the_whole_batch() -> None:
    logits, truth = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    expected = (1 - 1 / 2) * (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2
    assert weighted_bce(logits, truth).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [weighted_bce, plain_bce, soft_iou_loss, l1_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_stay_finite_and_in_float32(
    loss: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype
) -> None:
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype).reshape(1, 1, 2, 2).requires_grad_()
    value = loss(logits, torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2))
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_losses_stay_float32_inside_autocast() -> None:
    output = _output(dtype=torch.bfloat16)
    focus, depth = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    config = ObjectiveConfig(iou_weight=1.0, l1_weight=1.0)
    outside = distillation_loss(output, focus, depth, None, config)
    with torch.autocast("cpu", torch.bfloat16):
        inside = distillation_loss(output, focus, depth, None, config)
    for name, term in inside.items():
        assert term.dtype == torch.float32
        assert torch.equal(term, outside[name])


def test_soft_iou_of_a_perfect_prediction_is_free() -> None:
    truth = _row(1, 1, 0, 0)
    assert soft_iou_loss((truth * 2 - 1) * 50, truth).item() == pytest.approx(0, abs=1e-6)
    assert soft_iou_loss(_row(50, 50, 50, 50), truth).item() == pytest.approx(1 / 2, abs=1e-3)


def test_soft_iou_is_right_for_photos_with_nothing_in_focus() -> None:
    nothing = torch.zeros(1, 1, 16, 16)
    wrong = torch.full_like(nothing, 5.0).requires_grad_()
    loss = soft_iou_loss(wrong, nothing)
    loss.backward()
    assert soft_iou_loss(torch.full_like(nothing, -50.0), nothing).item() == pytest.approx(0, abs=1e-6)
    assert loss.item() > 0.99
    assert wrong.grad is not None
    assert (wrong.grad > 0).all()


def test_soft_iou_weighs_photos_alike_however_much_is_in_focus() -> None:
    truth = torch.cat((_row(1, 1, 1, 1), _row(1, 0, 0, 0)))
    logits = torch.cat((_row(50, 50, 50, 50), _row(-50, -50, -50, -50)))
    assert soft_iou_loss(logits, truth).item() == pytest.approx(1 / 2, abs=5e-3)


def test_l1_is_the_metric_called_mae(cuhk: Path) -> None:
    masks = [path.read_bytes() for path in sorted((cuhk / "gt").iterdir())[:3]]
    truths = [cv2.resize(decode_mask(mask, polarity="blur"), (80, 60)) > 127 for mask in masks]
    rng = np.random.default_rng(0)
    # as networks err: borders are washed out, and it is unsure everywhere
    logits = np.stack([8 * cv2.GaussianBlur(one.astype(np.float32), (0, 0), 3) - 4 for one in truths])
    logits = logits + rng.standard_normal(logits.shape, np.float32)
    loss = l1_loss(torch.from_numpy(logits)[:, None], torch.from_numpy(np.stack(truths))[:, None].float())
    metrics = FocusMetrics()
    for one, truth in zip(logits, truths, strict=True):
        metrics.update(torch.from_numpy(one).sigmoid().numpy(), truth)
    assert loss.item() == pytest.approx(metrics.compute()["mae"], abs=1e-6)
    assert 0.05 < loss.item() < 0.5


def test_l1_pulls_every_pixel_towards_its_truth() -> None:
    logits, truth = torch.zeros(1, 1, 1, 4, requires_grad=True), _row(1, 0, 1, 0)
    l1_loss(logits, truth).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (0.5 - truth) * 2 * 0.25 / 4)


def test_depth_mse_is_over_the_photos_that_have_depth() -> None:
    depth, target = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    target[0], target[2] = 0.5, float("nan")
    assert depth_mse(depth, target, torch.tensor([True, True, False])).item() == pytest.approx((0.25 + 1) / 2)
    assert depth_mse(depth[:2], target[:2], None).item() == pytest.approx((0.25 + 1) / 2)


def test_a_batch_without_depth_costs_nothing_but_keeps_its_gradient() -> None:
    depth = torch.ones(2, 1, 2, 2, requires_grad=True)
    loss = depth_mse(depth, torch.full((2, 1, 2, 2), float("nan")), torch.tensor([False, False]))
    loss.backward()
    assert loss.item() == 0
    assert depth.grad is not None
    assert not depth.grad.any()


def test_the_total_is_the_papers_sum_over_fused_and_side_outputs() -> None:
    output = _output()
    focus, depth = (torch.rand(2, 1, 8, 8) > 0.5).float(), torch.rand(2, 1, 8, 8)
    terms = distillation_loss(output, focus, depth, None, ObjectiveConfig())

    def full(side: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(side, (8, 8), mode="bilinear", align_corners=False)

    bce = sum(weighted_bce(full(one), focus) for one in (output.focus_logits, *output.side_focus_logits))
    assert output.depth is not None
    mse = sum(depth_mse(full(one), depth, None) for one in (output.depth, *output.side_depth))
    assert set(terms) == {"bce", "depth"}
    torch.testing.assert_close(terms["bce"], bce)
    torch.testing.assert_close(terms["depth"], 0.1 * mse)


def test_the_weights_of_the_terms_are_settings() -> None:
    output = _output()
    focus, depth = (torch.rand(2, 1, 8, 8) > 0.5).float(), torch.rand(2, 1, 8, 8)

    def terms(**settings: object) -> dict[str, Tensor]:
        return distillation_loss(output, focus, depth, None, ObjectiveConfig.model_validate(settings))

    assert set(terms()) == {"bce", "depth"}
    fused_only = terms(side_weight=0, iou_weight=1, l1_weight=1, bce="plain")
    assert set(fused_only) == {"bce", "iou", "l1", "depth"}
    torch.testing.assert_close(fused_only["bce"], plain_bce(output.focus_logits, focus))
    torch.testing.assert_close(fused_only["iou"], soft_iou_loss(output.focus_logits, focus))
    torch.testing.assert_close(fused_only["l1"], l1_loss(output.focus_logits, focus))
    torch.testing.assert_close(terms(l1_weight=3)["l1"], 3 * terms(l1_weight=1)["l1"])
    torch.testing.assert_close(terms(iou_weight=3)["iou"], 3 * terms(iou_weight=1)["iou"])
    torch.testing.assert_close(terms(depth_weight=1)["depth"], 10 * terms(depth_weight=0.1)["depth"])
    full, none = terms(side_weight=1)["bce"], terms(side_weight=0)["bce"]
    torch.testing.assert_close(terms(side_weight=0.5)["bce"], (full + none) / 2)


def test_a_network_without_depth_has_no_depth_term() -> None:
    focus = torch.zeros(2, 1, 8, 8)
    assert set(distillation_loss(_output(with_depth=False), focus, None, None, ObjectiveConfig())) == {"bce"}


@pytest.mark.parametrize("depth_weight", [0.0, 0.1])
def test_depth_maps_stay_in_the_graph_when_no_photo_has_depth(depth_weight: float) -> None:
    output = _output()
    terms = distillation_loss(
        output, torch.zeros(2, 1, 8, 8), None, None, ObjectiveConfig(depth_weight=depth_weight, iou_weight=1)
    )
    torch.stack(list(terms.values())).sum().backward()
    assert terms["depth"].item() == 0
    assert output.depth is not None
    assert all(one.grad is not None and not one.grad.any() for one in (output.depth, *output.side_depth))


def test_truth_of_another_shape_is_refused_not_broadcast() -> None:
    with pytest.raises(TrainingError, match=r"focus: the prediction is \(2, 1, 8, 8\) but the truth \(2, 8, 8\)"):
        distillation_loss(_output(), torch.zeros(2, 8, 8), None, None, ObjectiveConfig())
