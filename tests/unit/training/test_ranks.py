"""Several workers step as one would with the whole batch, on torch's own process group."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from dbd_ray.config import TrainConfig
from dbd_ray.models import build_network
from dbd_ray.training.learner import Learner, make_learner
from dbd_ray.training.loop import close_epoch, train_step
from dbd_ray.training.ranks import ALONE, Ranks, with_synchronised_batchnorms
from dbd_ray.training.samples import Batch, EncodedRow, collate, decode_row
from dbd_ray.training.state import seed_everything

MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]
WORLD_SIZE = 3
SGD = {"name": "sgd", "lr": 0.05, "weight_decay": 0, "schedule": "constant"}
TEACHER = {"architecture": "dbdgan_teacher", "backbone": "mobilenetv3_small_050", "widths": [8, 8, 8, 8]}
ADVERSARIAL = {"kind": "adversarial", "adversarial": {"teacher": TEACHER, "discriminator_width": 4}}
# what differs: how many photos, and how they are seen
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "uneven shares, counts over the batch": (5, {"objective": {"bce": "weighted"}}),
    "several passes": (7, {"micro_batch_size": 1, "objective": {"iou_weight": 1.0, "l1_weight": 1.0}}),
    "a worker without a photo": (2, {"objective": {"bce": "weighted", "iou_weight": 1.0}}),
    "clipped": (4, {"optimizer": {**SGD, "clip_norm": 0.01}}),
    "discriminators, a teacher in training": (5, {"micro_batch_size": 1, "objective": ADVERSARIAL}),
    "discriminators, a worker without a photo": (2, {"objective": ADVERSARIAL}),
}


def _weights(state: dict[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    """Tensors of networks by their full names.

    Not those of discriminators: Adam's first step goes by the signs of gradients, those of almost none included. Their
    losses and gradients' norm are among the values.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            found[prefix + name] = value
        elif isinstance(value, dict) and name not in ("optimizer", "discriminators"):
            found |= _weights(value, f"{prefix}{name}.")
    return found


def _step(config: TrainConfig, batch: Batch, ranks: Ranks) -> dict[str, Any]:
    """Step once; batch norms keep their statistics, since each worker would take its own."""
    seed_everything(config.seed)
    learner = make_learner(
        config,
        build_network(config.network),
        steps_per_epoch=1,
        device=torch.device("cpu"),
        wrap=DistributedDataParallel if ranks.world_size > 1 else lambda network: network,
        ranks=ranks,
    )
    learner.objective.train(False)
    part = ranks.part(len(batch.photos))
    own = slice(part.start, part.stop)
    mine = Batch(batch.photos[own], batch.focus[own], batch.depth[own], batch.has_depth[own], batch.ids[own])
    values = ranks.mean(train_step(learner, mine))
    close_epoch(learner)
    return {
        "weights": _weights(learner.objective.state_dict()),
        "values": values,
        "ledger": [tuple(one) for one in learner.ledger],
    }


@pytest.mark.parametrize(("size", "world_size"), [(6, 1), (6, 4), (6, 8), (9, 2)])
def test_a_batch_is_dealt_out_whole_in_order_and_evenly_with_the_most_for_the_first(size: int, world_size: int) -> None:
    parts = [Ranks(rank, world_size).part(size) for rank in range(world_size)]
    assert [place for part in parts for place in part] == list(range(size))
    lengths = [len(part) for part in parts]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1


def test_one_step_of_three_workers_is_that_of_one(
    make_config: MakeConfig, photo_rows: list[EncodedRow], tmp_path: Path
) -> None:
    configs = [make_config(**{"batch_size": size, "optimizer": SGD, **settings}) for size, settings in CASES.values()]
    batches = [
        collate([decode_row(row) for row in photo_rows[:size]])._replace(ids=tuple("abcdefgh"[:size]))
        for size, _ in CASES.values()
    ]
    cases = [(config.model_dump_json(), tuple(batch)) for config, batch in zip(configs, batches, strict=True)]
    torch.save(cases, tmp_path / "cases.pt")
    workers = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path), str(rank), str(WORLD_SIZE)], stderr=subprocess.PIPE)
        for rank in range(WORLD_SIZE)
    ]
    complaints = [worker.communicate()[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WORLD_SIZE, complaints
    together = torch.load(tmp_path / "done.pt", weights_only=True)
    for name, config, batch, done in zip(CASES, configs, batches, together, strict=True):
        alone = _step(config.model_copy(update={"micro_batch_size": None}), batch, ALONE)
        assert done["values"] == pytest.approx(alone["values"], rel=1e-4), name
        moved = max((alone["weights"][key] - done["weights"][key]).abs().max().item() for key in alone["weights"])
        assert moved < 2e-6, name
        (entry,), (expected,) = done["ledger"], alone["ledger"]
        assert entry == (*expected[:3], WORLD_SIZE), name


def test_gradients_of_several_passes_add_up_to_those_of_one(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, photo_rows: list[EncodedRow]
) -> None:
    batch = collate([decode_row(row) for row in photo_rows[:4]])
    values, gradients = [], []
    for size in (None, 3, 1):
        learner = make_tiny_learner(make_config(micro_batch_size=size, optimizer=SGD))
        learner.objective.train(False)
        values.append(train_step(learner, batch))
        gradients.append(torch.cat([one.grad.flatten() for one in learner.bare.parameters() if one.grad is not None]))
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[2] == pytest.approx(values[0], rel=1e-5)
    for gradient in gradients[1:]:
        assert (gradient - gradients[0]).norm() < 1e-5 * gradients[0].norm()


def test_synchronised_batch_norms_keep_names_weights_and_activations(make_config: MakeConfig) -> None:
    network = build_network(make_config().network).eval()
    photos = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = network(photos).focus_logits
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    changed = with_synchronised_batchnorms(network)
    kinds = {type(module) for module in changed.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)}
    assert all(issubclass(kind, torch.nn.SyncBatchNorm) for kind in kinds)
    assert kinds
    with torch.no_grad():
        assert torch.equal(changed(photos).focus_logits, before)
    assert state.keys() == changed.state_dict().keys()
    assert all(parameters[name] is parameter for name, parameter in changed.named_parameters())


def test_a_split_leaves_no_picture_out(photo_rows: list[EncodedRow]) -> None:
    batch = collate([decode_row(row) for row in photo_rows[:3]])
    parts = batch.split(5)
    assert [len(part.photos) for part in parts] == [1, 1, 1, 0, 0]
    assert torch.equal(torch.cat([part.focus for part in parts]), batch.focus)
    empty: Batch = parts[4]
    assert empty.black().photos.shape == (1, 3, 64, 64)
    assert not empty.black().photos.any()


if __name__ == "__main__":
    # one of the workers of `test_one_step_of_three_workers_is_that_of_one`
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world_size)
    cases = torch.load(folder / "cases.pt", weights_only=True)
    ranks = Ranks(rank, world_size)
    done = [_step(TrainConfig.model_validate_json(config), Batch(*batch), ranks) for config, batch in cases]
    if rank == 0:
        torch.save(done, folder / "done.pt")
    torch.distributed.destroy_process_group()
