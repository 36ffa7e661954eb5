"""The discriminators of an adversarial objective: their verdicts in the networks' losses, and their own steps."""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dbd_ray.errors import TrainingError
from dbd_ray.models.discriminator import Discriminator
from dbd_ray.training.adversarial_losses import Verdicts, accuracy, adversarial_loss, discriminator_loss
from dbd_ray.training.objectives.base import Surroundings, averaged_once
from dbd_ray.training.optimizer import make_schedule

BETAS = (0.5, 0.999)  # of their Adam


class _Maps(NamedTuple):
    """What a discriminator told apart in one pass, without gradient.

    Attributes:
        photos: N×3×H×W in [0,1].
        real, fake: N×1×H×W in [0,1].
    """

    photos: Tensor
    real: Tensor
    fake: Tensor


class Discriminators:
    """Discriminators by name, stepped after the networks that are trained against them, by the same maps.

    Args:
        names: Their names, at least one.
        around: What they are built in; `objective.adversarial` has their width and learning rate.
    """

    def __init__(self, names: Collection[str], around: Surroundings) -> None:
        scheme = around.config.objective.adversarial
        self._apart = {name: Discriminator(scheme.discriminator_width).to(around.device) for name in names}
        self._wrapped: dict[str, nn.Module] = {name: around.wrap(one) for name, one in self._apart.items()}
        self._parameters = list(itertools.chain.from_iterable(one.parameters() for one in self._apart.values()))
        self._optimizer = torch.optim.Adam(self._parameters, lr=scheme.discriminator_lr, betas=BETAS)
        self._schedule = make_schedule(
            self._optimizer,
            around.config.optimizer,
            epochs=around.config.epochs,
            steps_per_epoch=around.steps_per_epoch,
        )
        self._waiting: dict[str, list[_Maps]] = {name: [] for name in names}
        for parameter in self._parameters:
            parameter.requires_grad_(False)  # but in their own step

    def loss(self, name: str, photos: Tensor, real: Tensor, fake: Tensor, *, remember: bool) -> Tensor:
        """Give a network's loss against a discriminator.

        Args:
            name: The discriminator's.
            photos: N×3×H×W in [0,1].
            real: N×1×H×W in [0,1], takes no gradient.
            fake: N×1×H×W in [0,1], the network's maps.
            remember: Keep the maps for the discriminator's next step.
        """
        judge = self._apart[name].eval()  # of spectral norms the step alone goes on
        with torch.no_grad():
            of_real = judge(photos, real)
        if remember:
            self._waiting[name].append(_Maps(photos, real.detach(), fake.detach()))
        return adversarial_loss(Verdicts(of_real, judge(photos, fake)))

    def forget(self) -> None:
        """Forget the maps of passes that no step followed."""
        for waiting in self._waiting.values():
            waiting.clear()

    def step(self, shares: Sequence[Tensor]) -> dict[str, float]:
        """Step all discriminators by the maps of the last passes.

        Args:
            shares: Weight of every pass, see `Objective.after_step`.

        Returns:
            `NAME/loss` and `NAME/accuracy` (`adversarial_losses.accuracy`) of each, and `gradient_norm/discriminators`.

        Raises:
            TrainingError: A loss is not finite; says whose. The discriminators are as before the step.
        """
        values: dict[str, float] = {}
        self._optimizer.zero_grad(set_to_none=True)
        with self._learning():
            for name, judge in self._wrapped.items():
                for done, (maps, share) in enumerate(zip(self._waiting[name], shares, strict=True), 1):
                    judge.train(done == 1)  # spectral norms go on once a step, in however many passes
                    with averaged_once([judge], last=done == len(shares)):
                        verdicts = _verdicts(judge, maps)
                        loss = share * discriminator_loss(verdicts)
                        loss.backward()
                    for key, value in (("loss", loss), ("accuracy", share * accuracy(verdicts))):
                        values[f"{name}/{key}"] = values.get(f"{name}/{key}", 0.0) + value.item()
                self._waiting[name].clear()
            norm = nn.utils.clip_grad_norm_(self._parameters, math.inf)
        if not torch.isfinite(norm):
            bad = [name for name in self._wrapped if not math.isfinite(values[f"{name}/loss"])] or list(self._wrapped)
            raise TrainingError(
                f"discriminator(s) {', '.join(bad)}: loss or gradient is not finite; lower "
                "objective.adversarial.discriminator_lr, or train in float32 (precision=float32)"
            )
        self._optimizer.step()
        self._schedule.step()
        return {**values, "gradient_norm/discriminators": norm.item()}

    def state_dict(self) -> dict[str, Any]:
        """Give all that `load_state_dict` needs to go on bit by bit."""
        return {
            "networks": {name: one.state_dict() for name, one in self._apart.items()},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            RuntimeError, ValueError, KeyError: It is of other discriminators.
        """
        for name, one in self._apart.items():
            one.load_state_dict(state["networks"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])

    @contextmanager
    def _learning(self) -> Iterator[None]:
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter in self._parameters:
                parameter.requires_grad_(False)


def _verdicts(judge: nn.Module, maps: _Maps) -> Verdicts:
    # in one pass: the data-parallel wrapper expects one for each backward pass
    photos, focus = torch.cat((maps.photos, maps.photos)), torch.cat((maps.real, maps.fake))
    return Verdicts(*judge(photos, focus).chunk(2))
