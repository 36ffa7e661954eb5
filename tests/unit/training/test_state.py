import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.config import TrainConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.training.learner import Learner
from dbd_ray.training.loop import close_epoch, train_epoch
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import EncodedRow, Window, epoch_order, train_batches
from dbd_ray.training.state import HISTORY_FILE, STATE_FILE, restore_run, rng_state, save_run, seed_everything

MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]

OPTIMIZERS = {
    "sgd": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "schedule": "poly", "warmup_epochs": 0.5},
    "adamw": {"name": "adamw", "lr": 0.001, "schedule": "cosine", "clip_norm": 1.0},
}


def _one_epoch(learner: Learner, rows: list[EncodedRow]) -> None:
    config = learner.config
    order = epoch_order(rows, seed=config.seed, epoch=learner.epoch)
    batches = train_batches(
        [Window(rows, order)], batch_size=4, config=config.augment, seed=config.seed, epoch=learner.epoch
    )
    metrics = train_epoch(learner, batches, steps=2)
    close_epoch(learner)
    learner.history.append({"epoch": learner.epoch, "train/loss": metrics["loss"]})


def _card(learner: Learner) -> Card:
    return make_card(learner.bare, learner.config.network, name="tiny", input_size=(64, 64))


def _tensors(learner: Learner) -> dict[str, torch.Tensor]:
    tensors = {f"raw.{name}": tensor for name, tensor in learner.bare.state_dict().items()}
    return tensors | {f"kept.{name}": tensor for name, tensor in learner.best_network.state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_an_interrupted_run_ends_with_the_same_bits_as_one_that_was_not(
    make_config: MakeConfig,
    make_tiny_learner: MakeLearner,
    photo_rows: list[EncodedRow],
    tmp_path: Path,
    optimizer: str,
    ema_decay: float | None,
) -> None:
    augment = {"flip": True, "rotate_degrees": 20, "colour": 0.3}
    config = make_config(optimizer=OPTIMIZERS[optimizer], ema_decay=ema_decay, augment=augment)
    straight = make_tiny_learner(config)
    _one_epoch(straight, photo_rows)
    _one_epoch(straight, photo_rows)

    interrupted = make_tiny_learner(config)
    _one_epoch(interrupted, photo_rows)
    save_run(interrupted, tmp_path, _card(interrupted))
    torch.manual_seed(99)
    resumed = make_tiny_learner(make_config(**{**config.model_dump(), "seed": 5}))
    resumed.config = config
    restore_run(resumed, tmp_path)
    assert (resumed.epoch, resumed.step) == (1, 2)
    _one_epoch(resumed, photo_rows)

    assert resumed.history == straight.history
    assert resumed.ledger == straight.ledger
    assert [(entry.epoch, entry.photos, entry.workers) for entry in resumed.ledger] == [(1, 8, 1), (2, 8, 1)]
    assert resumed.step == straight.step == 4
    expected = _tensors(straight)
    assert [name for name, tensor in _tensors(resumed).items() if not torch.equal(tensor, expected[name])] == []
    assert resumed.objective.optimizer.param_groups[0]["lr"] == straight.objective.optimizer.param_groups[0]["lr"]


def test_random_numbers_go_on_where_they_stopped(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config())
    save_run(learner, tmp_path, _card(learner))
    expected = torch.rand(3)
    restored = make_tiny_learner(make_config())
    torch.manual_seed(1234)
    restore_run(restored, tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_every_rank_goes_on_drawing_where_it_stopped_and_a_new_one_draws_its_own(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    learner = make_tiny_learner(make_config())
    states, expected = [], []
    for rank in range(2):
        seed_everything(0, rank=rank)
        states.append(rng_state(learner.device))
        expected.append(draw())
    save_run(learner, tmp_path, _card(learner), states)
    drawn = []
    for rank in (0, 1, 2):
        restored = make_tiny_learner(make_config())
        restored.objective.around = restored.objective.around._replace(ranks=Ranks(rank, 3))
        restore_run(restored, tmp_path)
        drawn.append(draw())
    assert drawn[:2] == expected
    assert len(set(drawn)) == 3


def test_a_run_that_an_older_version_saved_goes_on(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, photo_rows: list[EncodedRow], tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config())
    _one_epoch(learner, photo_rows)
    save_run(learner, tmp_path, _card(learner))
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    (rng,) = state.pop("rngs")
    del state["ledger"]
    torch.save({**state, "torch_rng": rng["torch"]}, tmp_path / STATE_FILE)
    expected = torch.rand(3)
    restored = make_tiny_learner(make_config())
    restore_run(restored, tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert (restored.epoch, restored.ledger) == (1, [])


def test_the_model_that_users_load_is_the_averaged_one(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, photo_rows: list[EncodedRow], tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=0.5))
    _one_epoch(learner, photo_rows)
    save_run(learner, tmp_path, _card(learner))
    network, card = load_checkpoint(tmp_path)
    loaded = network.state_dict()
    kept, raw = learner.best_network.state_dict(), learner.bare.state_dict()
    assert all(torch.equal(loaded[name], kept[name]) for name in loaded)
    assert not all(torch.equal(loaded[name], raw[name]) for name in loaded)
    assert card.name == "tiny"


def test_the_history_is_plain_json_beside_the_model(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, photo_rows: list[EncodedRow], tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config())
    _one_epoch(learner, photo_rows)
    _one_epoch(learner, photo_rows)
    save_run(learner, tmp_path, _card(learner))
    history = json.loads((tmp_path / HISTORY_FILE).read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert history == learner.history


def test_a_model_without_training_state_says_so(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=rf"{STATE_FILE} is missing"):
        restore_run(make_tiny_learner(make_config()), tmp_path)


@pytest.mark.parametrize("content", ["half", "text", "nothing"])
def test_a_damaged_state_is_named(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path, content: str
) -> None:
    learner = make_tiny_learner(make_config())
    save_run(learner, tmp_path, _card(learner))
    path = tmp_path / STATE_FILE
    whole = path.read_bytes()
    path.write_bytes({"half": whole[: len(whole) // 2], "text": b"not a checkpoint", "nothing": b""}[content])
    with pytest.raises(CheckpointError, match=rf"{STATE_FILE} is damaged"):
        restore_run(learner, tmp_path)


class _Code:
    def __reduce__(self) -> tuple[Callable[[], str], tuple[()]]:
        return (os.getcwd, ())


def test_a_state_that_would_run_code_is_not_loaded(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    torch.save({"network": _Code()}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError, match=rf"{STATE_FILE} is damaged"):
        restore_run(make_tiny_learner(make_config()), tmp_path)


def test_the_state_of_another_network_is_refused(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config())
    save_run(learner, tmp_path, _card(learner))
    other = make_tiny_learner(make_config(network={"backbone": "mobilenetv2_035", "srfb": "none", "reduction": 16}))
    with pytest.raises(CheckpointError, match=rf"{STATE_FILE} is of another network"):
        restore_run(other, tmp_path)


def test_the_state_of_another_optimiser_is_refused(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path
) -> None:
    learner = make_tiny_learner(make_config(optimizer=OPTIMIZERS["sgd"]))
    save_run(learner, tmp_path, _card(learner))
    # AdamW keeps norms and biases apart, so that its groups are others
    with pytest.raises(CheckpointError, match="of another network, optimiser or objective"):
        restore_run(make_tiny_learner(make_config(optimizer=OPTIMIZERS["adamw"])), tmp_path)


@pytest.mark.parametrize(("saved", "wanted"), [(None, 0.9), (0.9, None)])
def test_averaging_cannot_be_switched_on_or_off_half_way(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, tmp_path: Path, saved: float | None, wanted: float | None
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=saved))
    save_run(learner, tmp_path, _card(learner))
    with pytest.raises(CheckpointError, match="another ema_decay"):
        restore_run(make_tiny_learner(make_config(ema_decay=wanted)), tmp_path)


def test_seeding_covers_every_generator() -> None:
    drawn = []
    for _ in range(2):
        seed_everything(7)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    seed_everything(2**40)  # numpy's own limit is 2^32
