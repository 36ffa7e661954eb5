"""One of several workers that make one optimiser step together; `test_ranks` starts it, and is its parent's half too."""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from dbd_ray.config import TrainConfig
from dbd_ray.models import build_network
from dbd_ray.training.engine import close_epoch, make_learner, train_step
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import Batch
from dbd_ray.training.state import seed_everything


def step(config: TrainConfig, batch: Batch, ranks: Ranks) -> dict[str, Any]:
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
    learner.network.eval()
    part = ranks.part(len(batch.photos))
    own = slice(part.start, part.stop)
    mine = Batch(batch.photos[own], batch.focus[own], batch.depth[own], batch.has_depth[own], batch.ids[own])
    values = ranks.mean(train_step(learner, mine))
    close_epoch(learner)
    return {"weights": learner.bare.state_dict(), "values": values, "ledger": [tuple(one) for one in learner.ledger]}


if __name__ == "__main__":
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world_size)
    cases = torch.load(folder / "cases.pt", weights_only=True)
    done = [
        step(TrainConfig.model_validate_json(config), Batch(*batch), Ranks(rank, world_size)) for config, batch in cases
    ]
    if rank == 0:
        torch.save(done, folder / "done.pt")
    torch.distributed.destroy_process_group()
