"""Training: the loop in plain torch (`learner`, `loop`, `losses`, `samples`, `augment`), and Ray's adapters around it.

`open_run` is its one door. `make_trainer` and `train_loop_per_worker` are for other people's TorchTrainer and Tuner;
they are imported on first use, because they need Ray and the loop does not.
"""

from typing import Any

__all__ = ["make_trainer", "train_loop_per_worker"]


def __getattr__(name: str) -> Any:
    if name == "train_loop_per_worker":
        from dbd_ray.training.worker import train_loop_per_worker

        return train_loop_per_worker
    if name == "make_trainer":
        from dbd_ray.training.trainer import make_trainer

        return make_trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
