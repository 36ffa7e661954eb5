"""Distill-DBDGAN's scheme: its losses by hand, which networks are built, and who learns from whom."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dbd_ray.checkpoints.card import make_card
from dbd_ray.config import TrainConfig
from dbd_ray.errors import CheckpointError, TrainingError
from dbd_ray.models.discriminator import Discriminator
from dbd_ray.training.adversarial_losses import (
    Verdicts,
    accuracy,
    adversarial_loss,
    discriminator_loss,
    edge_loss,
    feature_loss,
)
from dbd_ray.training.learner import Learner
from dbd_ray.training.loop import train_step
from dbd_ray.training.objectives import Adversarial
from dbd_ray.training.samples import Batch, EncodedRow, collate, decode_row
from dbd_ray.training.state import restore_run, save_run

MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]
TEACHER = {"architecture": "dbdgan_teacher", "backbone": "mobilenetv3_small_050", "widths": [8, 8, 8, 8]}


@pytest.fixture
def batch(photo_rows: list[EncodedRow]) -> Batch:
    return collate([decode_row(row) for row in photo_rows[:4]])


@pytest.fixture
def make(make_config: MakeConfig, make_tiny_learner: MakeLearner) -> Callable[..., Learner]:
    def build(*, checkpoints: tuple[str, ...] = (), config: dict[str, Any] | None = None, **scheme: Any) -> Learner:
        scheme = {"discriminator_width": 4, **scheme}
        objective = {"kind": "adversarial", "teacher_checkpoints": checkpoints, "adversarial": scheme}
        return make_tiny_learner(make_config(objective=objective, **(config or {})))

    return build


def _objective(learner: Learner) -> Adversarial:
    assert isinstance(learner.objective, Adversarial)
    return learner.objective


def _constant(real: float, fake: float) -> Verdicts:
    return Verdicts(torch.full((2, 1, 4, 4), real), torch.full((2, 1, 4, 4), fake))


def test_the_relativistic_losses_are_those_of_their_paper() -> None:
    assert discriminator_loss(_constant(0.5, -0.5)) == 0
    assert discriminator_loss(_constant(0, 0)) == 2
    assert adversarial_loss(_constant(0.5, -0.5)) == 8
    assert adversarial_loss(_constant(-0.5, 0.5)) == 0
    assert (accuracy(_constant(1, 0)), accuracy(_constant(0, 1))) == (1, 0)
    mixed = Verdicts(torch.tensor([1.0, -1.0, 3.0, 1.0]).view(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    # real - 0: 1, -1, 3, 1; fake - 1: -1 everywhere
    assert discriminator_loss(mixed) == pytest.approx((0 + 4 + 4 + 0) / 4 + 0)
    assert accuracy(mixed) == pytest.approx((3 / 4 + 1) / 2)


def test_each_pictures_verdicts_are_compared_with_its_own_maps() -> None:
    together = Verdicts(torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4))
    alone = [discriminator_loss(Verdicts(together.real[i : i + 1], together.fake[i : i + 1])) for i in range(3)]
    assert discriminator_loss(together) == pytest.approx(torch.stack(alone).mean().item())


def test_edges_are_compared_along_both_axes() -> None:
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    assert edge_loss(step, step) == 0
    assert edge_loss(step, torch.zeros_like(step)) == pytest.approx(2 / 8 / 2)
    assert edge_loss(step.mT, torch.zeros_like(step)) == pytest.approx(2 / 8 / 2)
    assert edge_loss(step, step + 0.5) == pytest.approx(0, abs=1e-6), "brightness is no edge"


def test_features_are_compared_at_the_students_size_and_the_teachers_take_no_gradient() -> None:
    teacher = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    student = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = feature_loss(student, teacher)
    assert loss.item() == pytest.approx(torch.tensor([2.5, 4.5, 10.5, 12.5]).square().mean().item())
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("size", [(64, 64), (67, 45)])
def test_a_discriminator_judges_every_pixel_of_each_picture_apart(size: tuple[int, int]) -> None:
    judge = Discriminator(4).eval()
    photos, focus = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    with torch.no_grad():
        verdicts = judge(photos, focus)
        assert verdicts.shape == (2, 1, *size)
        torch.testing.assert_close(judge(photos[1:], focus[1:]), verdicts[1:])
        assert (judge(photos, 1 - focus) - verdicts).abs().max() > 1e-3
        assert (judge(1 - photos, focus) - verdicts).abs().max() > 1e-3
    convolutions = [one for one in judge.modules() if isinstance(one, torch.nn.Conv2d)]
    assert all(torch.nn.utils.parametrize.is_parametrized(one, "weight") for one in convolutions)


@pytest.mark.parametrize(
    ("scheme", "terms", "judges"),
    [
        ({}, {"bce", "depth", "edges", "adversarial"}, {"d2"}),
        ({"adversarial_weight": 0, "edge_weight": 0}, {"bce", "depth"}, set()),
        (
            {"teacher": TEACHER},
            {"bce", "depth", "edges", "adversarial", "distilled", "consistency", "constraint"}
            | {"teacher/bce", "teacher/depth", "teacher/edges", "teacher/adversarial"},
            {"d1", "d2", "d3"},
        ),
        (
            {"teacher": TEACHER, "teacher_adversarial_weight": 0, "distilled_weight": 0, "feature_weight": 0},
            {"bce", "depth", "edges", "adversarial", "consistency", "teacher/bce", "teacher/depth", "teacher/edges"},
            {"d2"},
        ),
    ],
)
def test_a_weight_of_zero_leaves_its_part_out_and_its_network_unbuilt(
    make: Callable[..., Learner], batch: Batch, scheme: dict[str, Any], terms: set[str], judges: set[str]
) -> None:
    learner = make(**scheme)
    objective = _objective(learner)
    assert set(objective.weights) == judges
    assert ("adapter" in objective.trained) == ("constraint" in terms)
    values = train_step(learner, batch)
    of_judges = {f"{judge}/{value}" for judge in judges for value in ("loss", "accuracy")}
    of_judges |= {"gradient_norm/discriminators"} if judges else set()
    assert set(values) == terms | of_judges | {"loss", "gradient_norm/networks", "map_spread"}
    assert values["loss"] == pytest.approx(sum(values[term] for term in terms))


def test_a_finished_teacher_teaches_and_stays_as_it_is(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make(checkpoints=("lite",))
    objective = _objective(learner)
    assert objective.finished is not None
    before = copy.deepcopy(objective.finished.networks[0].state_dict())
    values = train_step(learner, batch)
    assert {"adversarial", "distilled", "consistency", "constraint"} <= set(values)
    assert "features" not in values
    assert objective.teacher_names[0].startswith("lite@")
    after = objective.finished.networks[0].state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_networks_and_discriminators_learn_in_their_own_steps_only(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make(teacher=TEACHER)
    objective = _objective(learner)
    assert objective.discriminators is not None
    terms = objective.terms(batch, lambda counts: counts, alone=True)
    judges = list(objective.discriminators._parameters)
    student, teacher = objective.trained["network"], objective.trained["teacher"]

    def learning(term: str) -> dict[str, bool]:
        objective.optimizer.zero_grad()
        terms[term].backward(retain_graph=True)
        groups = {"student": student.parameters(), "teacher": teacher.parameters(), "judges": judges}
        return {
            name: any(one.grad is not None and bool(one.grad.any()) for one in group) for name, group in groups.items()
        }

    for term in ("bce", "edges", "adversarial", "distilled", "consistency", "constraint"):
        assert learning(term) == {"student": True, "teacher": False, "judges": False}, term
    for term in ("teacher/bce", "teacher/adversarial"):
        assert learning(term) == {"student": False, "teacher": True, "judges": False}, term


def test_discriminators_learn_to_tell_masks_from_maps(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make(discriminator_lr=2e-3, config={"optimizer": {"lr": 1e-6, "schedule": "constant"}})
    values = [train_step(learner, batch) for _ in range(40)]
    assert values[-1]["d2/accuracy"] > 0.9
    assert values[-1]["d2/loss"] < values[0]["d2/loss"] / 2


def test_the_network_learns_all_the_while(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make(teacher=TEACHER, config={"optimizer": {"lr": 3e-3, "schedule": "constant"}})
    values = [train_step(learner, batch) for _ in range(25)]
    for term in ("bce", "edges", "teacher/bce", "consistency"):
        assert values[-1][term] < 0.8 * values[0][term], term


@pytest.mark.parametrize("micro_batch_size", [None, 3])
def test_a_saved_run_goes_on_to_the_last_bit(
    make: Callable[..., Learner], batch: Batch, tmp_path: Path, micro_batch_size: int | None
) -> None:
    def build() -> Learner:
        return make(teacher=TEACHER, config={"ema_decay": 0.9, "micro_batch_size": micro_batch_size})

    learner = build()
    for _ in range(2):
        train_step(learner, batch)
    card = make_card(learner.bare, learner.config.network, name="tiny", input_size=(64, 64))
    save_run(learner, tmp_path, card)
    straight = train_step(learner, batch)
    resumed = build()
    restore_run(resumed, tmp_path)
    assert train_step(resumed, batch) == straight
    states = [torch.utils._pytree.tree_leaves(one.objective.state_dict()) for one in (learner, resumed)]
    assert len(states[0]) == len(states[1])
    for one, other in zip(*states, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_run_does_not_go_on_with_other_discriminators(
    make: Callable[..., Learner], batch: Batch, tmp_path: Path
) -> None:
    learner = make(adversarial_weight=0)
    train_step(learner, batch)
    save_run(learner, tmp_path, make_card(learner.bare, learner.config.network, name="tiny", input_size=(64, 64)))
    with pytest.raises(CheckpointError, match="of another network, optimiser or objective"):
        restore_run(make(), tmp_path)


def test_a_flat_map_and_a_discriminator_that_wins_end_the_run_by_name(make: Callable[..., Learner]) -> None:
    objective = _objective(make())
    fine = {"map_spread": 0.2, "d2/accuracy": 0.9999, "d2/loss": 0.2}
    assert objective.reason_to_stop(fine) == ""
    assert "maps are constant (standard deviation 1.0e-04" in objective.reason_to_stop({**fine, "map_spread": 1e-4})
    assert "discriminator d2 wins: its loss over the epoch is 0.005" in objective.reason_to_stop(
        {**fine, "d2/loss": 0.005}
    )
    patient = _objective(make(stop_at_loss=None))
    assert patient.reason_to_stop({**fine, "d2/loss": 0.0}) == ""


def test_a_loss_of_a_discriminator_that_is_not_finite_is_named(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make()
    discriminators = _objective(learner).discriminators
    assert discriminators is not None
    before = copy.deepcopy(discriminators.state_dict()["optimizer"])
    discriminators._wrapped["d2"].register_forward_hook(
        lambda judge, given, verdict: verdict * float("nan") if judge.training else verdict
    )
    with pytest.raises(TrainingError, match=r"discriminator\(s\) d2: loss or gradient is not finite"):
        train_step(learner, batch)
    assert discriminators.state_dict()["optimizer"] == before


def test_a_step_that_failed_leaves_nothing_behind(make: Callable[..., Learner], batch: Batch) -> None:
    learner = make()
    with pytest.raises(TrainingError):
        train_step(learner, batch._replace(focus=batch.focus * float("nan")))
    learner.objective.train()
    assert "d2/loss" in train_step(learner, batch)
