"""Saving and restoring a training run: the model as users load it, and the state that training goes on from."""

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dbd_ray.checkpoints import Card, save_checkpoint
from dbd_ray.errors import CheckpointError
from dbd_ray.training.engine import Learner

STATE_FILE = "training_state.pt"
HISTORY_FILE = "history.json"


def save_run(learner: Learner, folder: Path, card: Card) -> None:
    """Write the network to keep (`model.safetensors`, `card.json`), the training state and the epochs' metrics."""
    save_checkpoint(folder, learner.best_network, card)
    torch.save(
        {
            "network": learner.bare.state_dict(),
            "ema": None if learner.ema is None else learner.ema.module.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "schedule": learner.schedule.state_dict(),
            "epoch": learner.epoch,
            "step": learner.step,
            "history": learner.history,
            "torch_rng": torch.get_rng_state(),
        },
        folder / STATE_FILE,
    )
    (folder / HISTORY_FILE).write_text(json.dumps(learner.history))


def restore_run(learner: Learner, folder: Path) -> None:
    """Bring a fresh learner to where a saved one was.

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
        learner.bare.load_state_dict(state["network"])
        if learner.ema is not None:
            learner.ema.module.load_state_dict(state["ema"])
        learner.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is of another network or optimiser: {error}") from None
    learner.schedule.load_state_dict(state["schedule"])
    learner.epoch, learner.step, learner.history = state["epoch"], state["step"], state["history"]
    torch.set_rng_state(state["torch_rng"])


def seed_everything(seed: int) -> None:
    """Seed every generator that a library may draw from; our own draws are keyed by (seed, epoch, row)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
