"""Saving and restoring a training run: the model as users load it, and the state from which training goes on."""

import json
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import save_checkpoint
from dbd_ray.errors import CheckpointError
from dbd_ray.training.learner import Learner
from dbd_ray.training.ledger import Entry

STATE_FILE = "training_state.pt"
HISTORY_FILE = "history.json"


RngState = dict[str, Any]


def save_run(learner: Learner, folder: Path, card: Card, rngs: Sequence[RngState] = ()) -> None:
    """Write the network to keep (`model.safetensors`, `card.json`), the training state and the epochs' metrics.

    Args:
        learner: The run.
        folder: Local folder to write to.
        card: Card of the model.
        rngs: `rng_state` of every rank; empty: this rank's alone.
    """
    save_checkpoint(folder, learner.best_network, card)
    torch.save(
        {
            **learner.objective.state_dict(),
            "ema": None if learner.ema is None else learner.ema.module.state_dict(),
            "epoch": learner.epoch,
            "step": learner.step,
            "history": learner.history,
            "ledger": [tuple(entry) for entry in learner.ledger],
            "rngs": list(rngs) or [rng_state(learner.device)],
        },
        folder / STATE_FILE,
    )
    (folder / HISTORY_FILE).write_text(json.dumps(learner.history))


def restore_run(learner: Learner, folder: Path) -> None:
    """Bring a fresh learner to where a saved one was; a rank that was not there before draws from a seed of its own.

    Raises:
        CheckpointError: The folder holds no training state, or a damaged one, or one of another network.
    """
    path = folder / STATE_FILE
    if not path.exists():
        raise CheckpointError(f"{path} is missing: a model without its training state cannot be trained on")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): go on from an older checkpoint, or train anew") from None
    if (state["ema"] is None) != (learner.ema is None):
        raise CheckpointError(f"{path} was saved with another ema_decay: averaged weights cannot start half-way")
    try:
        learner.objective.load_state_dict(state)
        if learner.ema is not None:
            learner.ema.module.load_state_dict(state["ema"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is of another network, optimiser or objective: {error}") from None
    learner.epoch, learner.step, learner.history = state["epoch"], state["step"], state["history"]
    # runs that began before there was a ledger, and before other ranks' generators were kept
    learner.ledger = [Entry(*entry) for entry in state.get("ledger", [])]
    rngs = state.get("rngs") or [{"torch": state["torch_rng"]}]
    if learner.ranks.rank < len(rngs):
        set_rng_state(rngs[learner.ranks.rank], learner.device)
    else:
        seed_everything(learner.config.seed, rank=learner.ranks.rank, epoch=learner.epoch)


def seed_everything(seed: int, *, rank: int = 0, epoch: int = 0) -> None:
    """Seed every generator that a library may draw from; our own draws are keyed by (seed, epoch, row).

    Args:
        seed: The run's seed.
        rank: The worker's rank; each draws numbers of its own, e.g. for dropout.
        epoch: Number of completed epochs.
    """
    if rank or epoch:
        seed = int(np.random.SeedSequence([seed, rank, epoch]).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state(device: torch.device) -> RngState:
    """Return the state of every generator that a library may draw from, as tensors and plain values."""
    _, keys, *position = np.random.get_state(legacy=True)
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": (list(map(int, keys)), *position)}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_rng_state(state: RngState, device: torch.device) -> None:
    """Restore the generators to what `rng_state` returned; those that it does not hold are left alone."""
    torch.set_rng_state(state["torch"])
    if "python" in state:
        random.setstate(state["python"])
        np.random.set_state(("MT19937", *state["numpy"]))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
