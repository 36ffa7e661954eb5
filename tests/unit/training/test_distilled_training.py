"""What a detector learns from others; and that a run with teachers is a run like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import NetworkConfig, TrainConfig
from dbd_ray.engines import predict_focus
from dbd_ray.errors import ConfigError
from dbd_ray.models import build_network
from dbd_ray.training.learner import Learner
from dbd_ray.training.loop import close_epoch, train_epoch, train_step
from dbd_ray.training.objectives import Distillation
from dbd_ray.training.provenance import DataDescription, make_run_card, require_same_teachers
from dbd_ray.training.samples import Batch, EncodedRow, Window, collate, decode_row, epoch_order, train_batches
from dbd_ray.training.state import restore_run, save_run

MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]

DATA: DataDescription = {"input_size": (64, 64), "data": []}
NETWORKS: dict[str, dict[str, Any]] = {
    "lite": {"architecture": "lite", "backbone": "mobilenetv3_small_050", "width": 16, "depth": False},
    "depth_distillation": {"backbone": "mobilenetv2_035", "srfb": "none", "reduction": 16, "depth": False},
}
QUICK = {"lr": 1e-2, "schedule": "constant"}


@pytest.fixture
def batch(photo_rows: list[EncodedRow]) -> Batch:
    return collate([decode_row(row) for row in photo_rows[:4]])


def _objective(*teachers: Path, **settings: Any) -> dict[str, Any]:
    checkpoints = [str(teacher) for teacher in teachers]
    defaults = {"bce": "plain", "depth_weight": 0, "teacher_checkpoints": checkpoints, "teacher_weight": 0.5}
    return {**defaults, **settings}


def _bits(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_student_taught_by_maps_alone_reproduces_them_and_not_the_masks(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, tiny_model: Path
) -> None:
    objective = _objective(tiny_model, teacher_weight=1, l1_weight=1)
    learner = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=objective, optimizer=QUICK))
    taught = predict_focus(load_checkpoint(tiny_model)[0], batch.photos).focus
    assert (taught - batch.focus[:, 0]).abs().mean() > 0.4
    learner.objective.train()
    for _ in range(60):
        train_step(learner, batch)
    found = predict_focus(learner.best_network, batch.photos).focus
    constant = (taught - taught.mean()).abs().mean()
    assert (found - taught).abs().mean() < 0.5 * constant
    assert (found - batch.focus[:, 0]).abs().mean() > 0.4


def test_where_mask_and_teacher_disagree_the_student_is_pulled_to_both(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, tiny_model: Path
) -> None:
    taught = predict_focus(load_checkpoint(tiny_model)[0], batch.photos).focus
    to_mask, to_teacher = [], []
    for teacher_weight in (0.1, 0.9):
        objective = _objective(tiny_model, teacher_weight=teacher_weight)
        learner = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=objective, optimizer=QUICK))
        learner.objective.train()
        for _ in range(15):
            train_step(learner, batch)
        found = predict_focus(learner.best_network, batch.photos).focus
        to_mask.append((found - batch.focus[:, 0]).abs().mean().item())
        to_teacher.append((found - taught).abs().mean().item())
    assert to_teacher[1] < to_teacher[0]
    assert to_mask[0] < to_mask[1]


@pytest.mark.parametrize(("taught", "teaching"), [("lite", "depth_distillation"), ("depth_distillation", "lite")])
def test_any_architecture_learns_maps_and_features_from_any_other(
    make_config: MakeConfig,
    make_tiny_learner: MakeLearner,
    batch: Batch,
    tmp_path: Path,
    taught: str,
    teaching: str,
) -> None:
    config = NetworkConfig(**NETWORKS[teaching])
    network = build_network(config)
    save_checkpoint(tmp_path, network, make_card(network, config, name=teaching, input_size=(64, 64)))
    objective = _objective(tmp_path, iou_weight=1, l1_weight=1, feature_weight=1000)
    learner = make_tiny_learner(make_config(network=NETWORKS[taught], objective=objective, optimizer=QUICK))
    learner.objective.train()
    steps = [train_step(learner, batch) for _ in range(12)]
    assert set(steps[0]) == {"bce", "iou", "l1", "features", "loss"}
    assert 0 < steps[-1]["features"] < steps[0]["features"]
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_features_alone_may_be_learned(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, tiny_model: Path
) -> None:
    terms = {}
    for weights in ({}, {"teacher_weight": 0, "feature_weight": 1}):
        objective = _objective(tiny_model, **weights) if weights else {"bce": "plain", "depth_weight": 0}
        learner = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=objective))
        terms[bool(weights)] = train_step(learner, batch)
    assert terms[True]["bce"] == terms[False]["bce"]
    assert set(terms[True]) - set(terms[False]) == {"features"}


def test_teachers_stay_as_they_are_while_their_student_learns(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, tiny_model: Path
) -> None:
    objective = _objective(tiny_model, feature_weight=1)
    learner = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=objective, ema_decay=0.9))
    assert isinstance(learner.objective, Distillation) and learner.objective.teachers is not None
    (teacher,) = learner.objective.teachers.networks
    before = _bits(teacher)
    train_epoch(learner, [batch, batch], steps=2)
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    after = _bits(teacher)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def _one_epoch(learner: Learner, rows: list[EncodedRow]) -> None:
    config = learner.config
    order = epoch_order(rows, seed=config.seed, epoch=learner.epoch)
    batches = train_batches(
        [Window(rows, order)], batch_size=4, config=config.augment, seed=config.seed, epoch=learner.epoch
    )
    loss = train_epoch(learner, batches, steps=2)["loss"]
    close_epoch(learner)
    learner.history.append({"epoch": learner.epoch, "train/loss": loss})


def test_an_interrupted_run_with_teachers_ends_with_the_same_bits_as_one_that_was_not(
    make_config: MakeConfig,
    make_tiny_learner: MakeLearner,
    photo_rows: list[EncodedRow],
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    objective = _objective(tiny_model, teacher_flip=True, feature_weight=1)
    config = make_config(network=NETWORKS["lite"], objective=objective, ema_decay=0.9, augment={"flip": True})
    straight, interrupted, resumed = (make_tiny_learner(config) for _ in range(3))
    _one_epoch(straight, photo_rows)
    _one_epoch(straight, photo_rows)
    _one_epoch(interrupted, photo_rows)
    save_run(interrupted, tmp_path, make_run_card(interrupted, DATA))
    restore_run(resumed, tmp_path)
    require_same_teachers(resumed, tmp_path)
    _one_epoch(resumed, photo_rows)
    assert resumed.history == straight.history
    expected = _bits(straight.best_network)
    assert [name for name, bits in _bits(resumed.best_network).items() if not torch.equal(bits, expected[name])] == []


def test_teachers_are_no_part_of_what_is_saved_but_the_card_names_them(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path, tiny_model: Path
) -> None:
    for name, objective in (("plain", {"depth_weight": 0}), ("taught", _objective(tiny_model))):
        learner = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=objective))
        learner.history.append({"epoch": 1})
        save_run(learner, tmp_path / name, make_run_card(learner, DATA))
    plain, taught = (torch.load(tmp_path / name / "training_state.pt") for name in ("plain", "taught"))
    assert plain.keys() == taught.keys()
    assert plain["network"].keys() == taught["network"].keys()
    teacher = load_checkpoint(tiny_model)[1]
    cards = {name: load_checkpoint(tmp_path / name)[1] for name in ("plain", "taught")}
    assert cards["taught"].provenance["teachers"] == [f"tiny@{teacher.fingerprint[:16]}"]
    assert "teachers" not in cards["plain"].provenance


def test_a_run_does_not_go_on_with_a_teacher_that_was_replaced(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path, tiny_model: Path, tiny_depth_model: Path
) -> None:
    config = make_config(network=NETWORKS["lite"], objective=_objective(tiny_model))
    learner = make_tiny_learner(config)
    learner.history.append({"epoch": 1})
    save_run(learner, tmp_path, make_run_card(learner, DATA))
    other = make_tiny_learner(make_config(network=NETWORKS["lite"], objective=_objective(tiny_depth_model)))
    with pytest.raises(ConfigError, match=r"teacher_checkpoints: the run began with tiny@\w{16}, but now .* tiny@"):
        require_same_teachers(other, tmp_path)


def test_a_learner_is_not_built_without_the_teachers_that_it_asks_for(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^objective\.teacher_checkpoints: .*absent"):
        make_tiny_learner(make_config(network=NETWORKS["lite"], objective=_objective(tmp_path / "absent")))
