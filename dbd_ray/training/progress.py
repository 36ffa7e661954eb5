"""Where a training run stands, in numbers and in words."""

from typing import NamedTuple


class Progress(NamedTuple):
    """Where an epoch stands.

    Attributes:
        epoch: The running one, from 1.
        epochs: Of how many.
        step: Optimiser steps done in it.
        steps: Of how many.
        loss: Mean over these steps.
        images_per_s: Of all workers together.
        seconds_left: Until the end of the run, at this speed.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    seconds_left: float

    def short(self) -> str:
        """Everything but how far the epoch is, for beside a bar."""
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
