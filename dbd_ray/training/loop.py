"""The training loop in plain torch: one step, one epoch, validation. Ray is not needed."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from dbd_ray.engines import predict_focus
from dbd_ray.errors import TrainingError
from dbd_ray.metrics import FocusMetrics
from dbd_ray.training.learner import Learner
from dbd_ray.training.ledger import make_entry
from dbd_ray.training.objectives import averaged_once
from dbd_ray.training.progress import Progress
from dbd_ray.training.samples import Batch


def train_step(learner: Learner, batch: Batch) -> dict[str, float]:
    """Make one optimiser step.

    All workers together step as one worker with the whole batch would, in as many passes as `config.micro_batch_size`
    asks for, with two exceptions that are taken over the pictures of one pass: the statistics of batch norms, and the
    counts of `losses.weighted_bce`, which are those of all workers.

    Args:
        learner: The run; changed in place.
        batch: This rank's part of the batch, on any device; it may be empty.

    Returns:
        Value of every loss term, and "loss", their sum; the mean over ranks is that of the whole batch.

    Raises:
        TrainingError: A term or a gradient is not finite; says which. The weights are as before the step.
    """
    ranks = learner.ranks
    passes = learner.config.passes(ranks.world_size)
    photos, depths = ranks.total(torch.tensor([len(batch.photos), int(batch.has_depth.sum())], device=learner.device))
    names, batch = batch.ids, batch.to(learner.device)
    objective = learner.objective
    objective.optimizer.zero_grad(set_to_none=True)
    values: dict[str, float] = {}
    shares: list[torch.Tensor] = []
    for done, part in enumerate(batch.split(passes), 1):
        shares.append(ranks.world_size * len(part.photos) / photos)
        # the wrappers average gradients over ranks, once, in the last pass
        with averaged_once(objective.trained.values(), last=done == passes):
            total = _share_of_loss(learner, part, shares[-1], depths, values)
            if not all(map(math.isfinite, values.values())):
                raise TrainingError(_non_finite_terms(learner, values))
            total.backward()
    limit = learner.config.optimizer.clip_norm
    parameters = [parameter for _, parameter in objective.named_parameters()]
    norm = nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
    if not torch.isfinite(norm):
        raise TrainingError(_non_finite_gradient(learner, batch if len(batch.photos) else batch.black()))
    objective.optimizer.step()
    objective.schedule.step()
    learner.step += 1
    learner.trained.append(names)
    if learner.ema is not None:
        learner.ema.update(learner.bare, step=learner.step)
    return {**values, "loss": sum(values.values()), **objective.after_step(shares, norm)}


def _share_of_loss(
    learner: Learner, part: Batch, of_photos: torch.Tensor, depths: torch.Tensor, values: dict[str, float]
) -> torch.Tensor:
    # Workers' gradients are averaged, whatever the number of their pictures: each term is weighted by its share of the
    # pictures that it is a mean of, times the number of workers. One without a picture has to take part all the same.
    ranks, own, with_depth = learner.ranks, len(part.photos), part.has_depth.sum()

    def over_workers(counts: torch.Tensor) -> torch.Tensor:
        return ranks.total(counts * (own > 0))

    terms = learner.objective.terms(part if own else part.black(), over_workers)
    of_depths = ranks.world_size * (with_depth / depths.clamp(min=1))
    for name in terms:
        terms[name] = terms[name] * (of_depths if name in learner.objective.per_depth else of_photos)
        values[name] = values.get(name, 0.0) + terms[name].item()
    return torch.stack(list(terms.values())).sum()


def train_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    *,
    steps: int,
    on_progress: Callable[[Progress], Any] = lambda progress: None,
) -> dict[str, float]:
    """Train on all batches of one epoch.

    Args:
        learner: The run; changed in place. `close_epoch` counts the epoch.
        batches: This rank's batches, see `samples.train_batches`.
        steps: Number of batches.
        on_progress: Called after every step.

    Returns:
        Means of every loss term over this rank's batches, `images_per_s` of all ranks, the learning rate, and
        `wait_share`, the part of the time spent waiting for the next batch.
    """
    learner.objective.train()
    sums: dict[str, float] = {}
    started = time.perf_counter()
    waited, asked, done = 0.0, started, 0
    size, ranks = learner.config.batch_size, learner.ranks
    weight = max(1, len(ranks.part(size))) * ranks.world_size / size  # of this rank's loss in a step
    for batch in batches:
        waited += time.perf_counter() - asked
        for name, value in train_step(learner, batch).items():
            sums[name] = sums.get(name, 0.0) + value
        done += 1
        asked = time.perf_counter()
        elapsed = asked - started
        steps_left = (steps - done) + (learner.config.epochs - learner.epoch - 1) * steps
        on_progress(
            Progress(
                epoch=learner.epoch + 1,
                epochs=learner.config.epochs,
                step=done,
                steps=steps,
                loss=sums["loss"] / done / weight,
                images_per_s=done * learner.config.batch_size / elapsed,
                seconds_left=elapsed / done * steps_left,
            )
        )
    elapsed = time.perf_counter() - started
    return {
        **{name: value / done for name, value in sums.items()},
        "images_per_s": done * learner.config.batch_size / elapsed,
        "wait_share": waited / elapsed,
        "lr": learner.objective.optimizer.param_groups[-1]["lr"],
    }


def close_epoch(learner: Learner) -> None:
    """Count an epoch that every rank has trained on, and write it into the ledger."""
    learner.epoch += 1
    learner.ledger.append(make_entry(learner.epoch, learner.ranks.gather(learner.trained)))
    learner.trained.clear()


def validate(learner: Learner, batches: Iterable[Batch]) -> FocusMetrics:
    """Measure the network to keep on batches at training size; merge the results of several ranks."""
    metrics = FocusMetrics()
    for batch in batches:
        focus = predict_focus(learner.best_network, batch.photos.to(learner.device), dtype=learner.precision.dtype)
        for predicted, truth in zip(focus.focus.cpu().numpy(), batch.focus[:, 0].numpy() > 0.5, strict=True):
            metrics.update(predicted, truth)
    return metrics


def _non_finite_terms(learner: Learner, values: dict[str, float]) -> str:
    bad = ", ".join(f"{name}={value}" for name, value in values.items() if not math.isfinite(value))
    return (
        f"step {learner.step + 1}: loss term(s) {bad} are not finite; the weights of the last epoch are kept. "
        "Lower optimizer.lr or set optimizer.clip_norm, and check the data of that term"
    )


def _non_finite_gradient(learner: Learner, batch: Batch) -> str:
    # each term alone, without the data-parallel wrappers: this must not wait for other ranks
    objective, culprits = learner.objective, []

    def terms() -> dict[str, torch.Tensor]:
        return objective.terms(batch, lambda counts: counts, alone=True)

    for name in terms():
        objective.optimizer.zero_grad(set_to_none=True)
        terms()[name].backward()
        bad = [
            parameter_name
            for parameter_name, parameter in objective.named_parameters()
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
        ]
        if bad:
            culprits.append(f"term {name} at {len(bad)} parameter(s), first {bad[0]}")
    objective.optimizer.zero_grad(set_to_none=True)
    found = "; ".join(culprits) or "no term of this rank alone: see the other ranks, or their sum overflows"
    return (
        f"step {learner.step + 1}: the gradient is not finite ({found}); the weights are as before the step. "
        "Lower optimizer.lr, or train in float32 (precision=float32)"
    )
