"""Progress of a training run, in numbers and in words."""

from typing import NamedTuple


class Progress(NamedTuple):
    """Progress within an epoch.

    Attributes:
        epoch: Number of the running epoch, from 1.
        epochs: Number of epochs of the run.
        step: Number of optimiser steps done in the epoch.
        steps: Number of optimiser steps of the epoch.
        loss: Mean loss over the steps done.
        images_per_s: Training photos per second of all workers together.
        seconds_left: Seconds until the end of the run, at this speed.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    seconds_left: float

    def short(self) -> str:
        """Write everything but the share of the epoch that is done, which a progress bar beside it shows."""
        return (
            f"epoch {self.epoch}/{self.epochs}  loss {self.loss:.4f}  {self.images_per_s:.1f} images/s  "
            f"{duration(self.seconds_left)} left"
        )

    def __str__(self) -> str:
        return f"{self.short()}  ({100 * self.step // self.steps} % of the epoch)"


def duration(seconds: float) -> str:
    """Write a duration for people: 45 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
