"""Losses against what teachers say: soft truth, its share of every term, and where encoders are active."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dbd_ray.config import ObjectiveConfig
from dbd_ray.errors import TrainingError
from dbd_ray.models.output import NetworkOutput
from dbd_ray.training.losses import (
    DetectorTeacherMaps,
    attention_transfer,
    distillation_loss,
    l1_loss,
    plain_bce,
    soft_iou_loss,
    weighted_bce,
)

LOSSES = (weighted_bce, plain_bce, soft_iou_loss, l1_loss)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _output(seed: int = 0) -> NetworkOutput:
    sides = tuple(_random(seed + side, 2, 1, 4, 4).requires_grad_() for side in (1, 2))
    features = tuple(_random(seed + 9, 2, 3, side, side).requires_grad_() for side in (4, 2))
    return NetworkOutput(_random(seed, 2, 1, 8, 8).requires_grad_(), None, sides, (), features)


def _objective(**settings: object) -> ObjectiveConfig:
    taught = {"teacher_checkpoints": ["a"], "teacher_weight": 0.25, "iou_weight": 1, "l1_weight": 1}
    return ObjectiveConfig.model_validate({**taught, **settings})


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("everywhere", [None, 0.4, 0.6])
def test_a_loss_is_least_where_the_prediction_is_the_soft_truth(
    loss: Callable[[Tensor, Tensor], Tensor], everywhere: float | None
) -> None:
    truth = _random(0, 2, 1, 6, 6).sigmoid() if everywhere is None else torch.full((2, 1, 6, 6), everywhere)
    at_truth = truth.logit()
    least = loss(at_truth, truth)
    for step in (0.05, -0.05, 1.0, -1.0):
        # each pixel alone: a sum may be least elsewhere than its parts
        for place in (0, 17, 35):
            moved = at_truth.clone()
            moved[1].view(-1)[place] += step
            assert loss(moved, truth) > least - 1e-7
        assert loss(at_truth + step, truth) > least
        assert loss(at_truth + step * _random(1, 2, 1, 6, 6), truth) > least


@pytest.mark.parametrize("bce", ["plain", "weighted"])
def test_the_teachers_share_of_every_focus_term_is_a_setting(bce: str) -> None:
    output, focus = _output(), (_random(3, 2, 1, 8, 8) > 0).float()
    taught = _random(4, 2, 1, 8, 8).sigmoid()

    def terms(truth: Tensor, **settings: object) -> dict[str, Tensor]:
        return distillation_loss(
            output, truth, None, None, _objective(bce=bce, **settings), DetectorTeacherMaps(taught, None)
        )

    untaught = ObjectiveConfig.model_validate({"bce": bce, "iou_weight": 1, "l1_weight": 1})
    against_mask = distillation_loss(output, focus, None, None, untaught)
    against_map = distillation_loss(output, taught, None, None, untaught)
    mixed = terms(focus)
    assert set(mixed) == {"bce", "iou", "l1"}
    for name, term in mixed.items():
        assert against_mask[name] != against_map[name]
        torch.testing.assert_close(term, 0.75 * against_mask[name] + 0.25 * against_map[name])
    assert terms(focus, teacher_weight=1) == terms(1 - focus, teacher_weight=1) == against_map


def test_depth_is_learned_beside_teachers_as_without_them() -> None:
    output = _output()._replace(depth=_random(5, 2, 1, 8, 8))
    focus, depth = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.5)
    alone = distillation_loss(output, focus, depth, None, ObjectiveConfig())
    taught = distillation_loss(output, focus, depth, None, _objective(), DetectorTeacherMaps(1 - focus, None))
    assert taught["depth"] == alone["depth"]


def test_the_features_term_is_weighted_and_its_gradient_is_the_students_alone() -> None:
    output, focus = _output(), torch.zeros(2, 1, 8, 8)
    theirs = tuple(_random(7, 2, 5, side, side).requires_grad_() for side in (4, 2))
    terms = distillation_loss(
        output, focus, None, None, _objective(feature_weight=3), DetectorTeacherMaps(focus, theirs)
    )
    torch.testing.assert_close(terms["features"], 3 * attention_transfer(output.features, theirs))
    terms["features"].backward()
    assert all(one.grad is not None and one.grad.any() for one in output.features)
    assert all(one.grad is None for one in theirs)


def test_attention_transfer_is_the_papers_difference_of_normalised_maps() -> None:
    mine = torch.tensor([[1.0, 2.0], [1.0, 0.0]]).reshape(1, 2, 1, 2)  # attention 1, 2
    theirs = torch.tensor([3.0, 0.0]).reshape(1, 1, 1, 2)
    norm = 5**0.5
    expected = ((1 / norm - 1) ** 2 + (2 / norm) ** 2) / 2
    assert attention_transfer([mine], [theirs]).item() == pytest.approx(expected, rel=1e-6)
    assert attention_transfer([mine, mine], [theirs, theirs]).item() == pytest.approx(2 * expected, rel=1e-6)


def test_encoders_that_are_active_alike_cost_nothing_whatever_their_widths_and_scales() -> None:
    mine = [_random(side, 2, 3, side, side) for side in (8, 4)]
    assert attention_transfer(mine, mine).item() == 0
    wider = [torch.cat((one, -one), 1) * 7 for one in mine]
    assert attention_transfer(mine, wider).item() == pytest.approx(0, abs=1e-12)
    assert attention_transfer(mine, [one.flip(0) for one in mine]).item() > 1e-3


def test_a_teachers_maps_are_resized_where_their_sizes_differ() -> None:
    ramp = torch.linspace(0.5, 1.5, 16).expand(1, 2, 16, 16)
    mine = torch.nn.functional.avg_pool2d(ramp, 2)
    near, far = attention_transfer([mine], [ramp]), attention_transfer([mine], [ramp.flip(-1)])
    assert 0 <= near < 0.01 * far


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_encoder_that_is_dead_keeps_everything_finite_and_in_float32(dtype: torch.dtype) -> None:
    dead = torch.zeros(1, 2, 4, 4, dtype=dtype, requires_grad=True)
    loss = attention_transfer([dead], [torch.ones(1, 2, 4, 4, dtype=dtype)])
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert dead.grad is not None
    assert dead.grad.isfinite().all()


def test_networks_that_show_no_features_are_refused_with_the_setting() -> None:
    for mine in ((), (torch.ones(1, 1, 2, 2),)):
        with pytest.raises(TrainingError, match=rf"student's encoder gives {len(mine)} maps, .*feature_weight=0"):
            attention_transfer(mine, () if not mine else (mine[0], mine[0]))
