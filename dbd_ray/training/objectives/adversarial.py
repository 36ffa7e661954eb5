"""Distill-DBDGAN's scheme (ACM TOMM 2023): a teacher, a student and three discriminators, beside the first paper's."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from dbd_ray.config import NetworkConfig
from dbd_ray.models import FocusNetwork, NetworkOutput, build_network
from dbd_ray.training.adversarial_losses import edge_loss, feature_loss
from dbd_ray.training.detector_teachers import DetectorTeacher, DetectorTeacherEnsemble
from dbd_ray.training.losses import DetectorTeacherMaps, Total, distillation_loss
from dbd_ray.training.objectives.base import Objective, Surroundings
from dbd_ray.training.objectives.discriminators import Discriminators
from dbd_ray.training.objectives.distillation import run_network
from dbd_ray.training.samples import Batch

FLAT = 1e-3  # standard deviation within a picture, below which a map says nothing


class _Taught(NamedTuple):
    """What a teacher shows for a batch, without gradient.

    Attributes:
        focus: float32 N×1×H×W in [0,1].
        deepest: Its deepest features, N×C×h×w; None where no loss uses them.
        maps: Of finished detectors, for the terms of `losses.distillation_loss`; None where it has no such terms.
    """

    focus: Tensor
    deepest: Tensor | None
    maps: DetectorTeacherMaps | None = None


class Adversarial(Objective):
    """The content losses, what is learned from a teacher, and the losses against discriminators.

    D1 judges the teacher's maps and D2 the network's beside masks, D3 the network's beside the teacher's.

    Args:
        bare: The network to keep, on the device: the student.
        around: What it is built in.
        teachers: Finished detectors to learn from; empty: the teacher that the settings describe is trained together
            with the network, or there is none.
    """

    per_depth = frozenset({"depth", "teacher/depth"})

    def __init__(self, bare: FocusNetwork, around: Surroundings, teachers: Sequence[DetectorTeacher]) -> None:
        config = around.config.objective
        self.scheme = scheme = config.adversarial
        self.finished = DetectorTeacherEnsemble(teachers, config, around.device, around.precision) if teachers else None
        teacher = None if scheme.teacher is None else build_network(scheme.teacher)
        beside: dict[str, nn.Module] = {} if teacher is None else {"teacher": teacher}
        shown = self.finished.networks[0] if self.finished else teacher
        if shown is not None and scheme.feature_weight > 0:
            beside["adapter"] = nn.Conv2d(bare.encoder.channels[-1], shown.encoder.channels[-1], 1)
        for network in beside.values():
            network.to(around.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(bare, around, beside)
        weights = {
            "d1": scheme.teacher_adversarial_weight if teacher else 0.0,
            "d2": scheme.adversarial_weight,
            "d3": scheme.distilled_weight if shown else 0.0,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.discriminators = Discriminators(self.weights, around) if self.weights else None
        self._spreads: list[Tensor] = []

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """name@fingerprint of the finished detectors that it learns from."""
        return self.finished.names if self.finished else ()

    @property
    def teacher(self) -> tuple[FocusNetwork, NetworkConfig] | None:
        """The teacher that is trained together with the network, and its settings."""
        config = self.scheme.teacher
        return None if config is None else (cast(FocusNetwork, self._apart["teacher"]), config)

    def terms(self, batch: Batch, over_workers: Total, *, alone: bool = False) -> dict[str, Tensor]:
        """Compute all loss terms (arguments as of `Objective.terms`); a trained teacher's are `teacher/…`."""
        terms: dict[str, Tensor] = {}
        taught = self._finished_teacher(batch)
        if "teacher" in self.trained:
            output, focus = self._run("teacher", batch, alone)
            own = self._content(output, focus, batch, over_workers)
            own |= self._against("d1", "adversarial", batch, batch.focus, focus, alone)
            terms |= {f"teacher/{name}": term for name, term in own.items()}
            taught = _Taught(focus.detach(), output.features[-1].detach())
        output, focus = self._run("network", batch, alone)
        terms |= self._content(output, focus, batch, over_workers, taught)
        terms |= self._against("d2", "adversarial", batch, batch.focus, focus, alone)
        if taught is not None:
            terms |= self._against("d3", "distilled", batch, taught.focus, focus, alone)
            if self.scheme.consistency_weight > 0:
                terms["consistency"] = self.scheme.consistency_weight * (focus - taught.focus).abs().mean()
            if "adapter" in self.trained and taught.deepest is not None:
                adapted = self._seen_by("adapter", alone=alone)(output.features[-1].float())
                terms["constraint"] = self.scheme.feature_weight * feature_loss(adapted, taught.deepest)
        if not alone:
            self._spreads.append(focus.detach().std((1, 2, 3)).mean())
        return terms

    def after_step(self, shares: Sequence[Tensor], gradient_norm: Tensor) -> dict[str, float]:
        """Step the discriminators (arguments as of `Objective.after_step`).

        Returns:
            What `Discriminators.step` gives, `gradient_norm/networks`, and `map_spread`, the standard deviation within
            the network's maps.
        """
        spread = sum(float(share * one) for share, one in zip(shares, self._spreads, strict=True))
        self._spreads.clear()
        values = {"gradient_norm/networks": gradient_norm.item(), "map_spread": spread}
        return values | (self.discriminators.step(shares) if self.discriminators else {})

    def reason_to_stop(self, means: Mapping[str, float]) -> str:
        """Say that the network's maps are flat, or that a discriminator wins."""
        if means["map_spread"] < FLAT:
            return (
                f"the network's maps are constant (standard deviation {means['map_spread']:.1e} within a picture): "
                "lower optimizer.lr or objective.adversarial's weights"
            )
        limit = self.scheme.stop_at_loss
        for name in self.weights:
            reached = means[f"{name}/loss"]
            if limit is not None and reached < limit:
                return (
                    f"discriminator {name} wins: its loss over the epoch is {reached:.2g}, 2 by guessing. "
                    "objective.adversarial.stop_at_loss=null goes on all the same; another name and a lower "
                    "objective.adversarial.discriminator_lr give the network a chance"
                )
        return ""

    def train(self, mode: bool = True) -> None:
        """Set the networks to training or evaluation, and forget a step that failed in its middle."""
        super().train(mode)
        self._spreads.clear()
        if self.discriminators:
            self.discriminators.forget()

    def state_dict(self) -> dict[str, Any]:
        """Give all that `load_state_dict` needs to go on bit by bit, as tensors and plain values."""
        judges = {"discriminators": self.discriminators.state_dict()} if self.discriminators else {}
        return super().state_dict() | judges

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave (errors as of `Objective.load_state_dict`)."""
        super().load_state_dict(state)
        if self.discriminators:
            self.discriminators.load_state_dict(state["discriminators"])

    def _run(self, name: str, batch: Batch, alone: bool) -> tuple[NetworkOutput, Tensor]:
        bare = cast(FocusNetwork, self._apart[name])
        output = run_network(self._seen_by(name, alone=alone), bare, batch, self.around)
        return output, output.focus_logits.float().sigmoid()

    def _finished_teacher(self, batch: Batch) -> _Taught | None:
        if self.finished is None:
            return None
        config = self.around.config.objective
        maps = self.finished(batch.photos)
        deepest = maps.features[-1] if maps.features else None
        of_first_paper = maps if config.feature_weight > 0 else maps._replace(features=None)
        return _Taught(maps.focus, deepest, of_first_paper)

    def _content(
        self, output: NetworkOutput, focus: Tensor, batch: Batch, over_workers: Total, taught: _Taught | None = None
    ) -> dict[str, Tensor]:
        config, maps = self.around.config.objective, taught.maps if taught else None
        terms = distillation_loss(output, batch.focus, batch.depth, batch.has_depth, config, maps, over_workers)
        if self.scheme.edge_weight > 0:
            terms["edges"] = self.scheme.edge_weight * edge_loss(focus, batch.focus)
        return terms

    def _against(
        self, judge: str, term: str, batch: Batch, real: Tensor, fake: Tensor, alone: bool
    ) -> dict[str, Tensor]:
        if self.discriminators is None or judge not in self.weights:
            return {}
        photos = batch.photos.float() / 255
        loss = self.discriminators.loss(judge, photos, real, fake, remember=not alone)
        return {term: self.weights[judge] * loss}
