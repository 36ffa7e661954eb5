"""Settings of the objective: the loss terms that a training run minimises."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dbd_ray.config.network import NetworkConfig
from dbd_ray.config.settings import Settings

_OF_A_TEACHER = ("distilled_weight", "consistency_weight", "feature_weight")
_OF_TEACHERS = ("teacher_weight", "feature_weight", "teacher_scales", "teacher_flip")


class AdversarialConfig(Settings):
    """The scheme of Distill-DBDGAN (TOMM 2023) beside the focus and depth terms; a weight of 0 leaves its part out, and
    the network that only that part needs is not built.
    """

    teacher: NetworkConfig | None = Field(
        None, description="A teacher that is trained together with the network; null: teacher_checkpoints, or none."
    )
    edge_weight: float = Field(1.0, ge=0, description="L1 of Sobel gradients, part of the content loss.")
    adversarial_weight: float = Field(0.05, ge=0, description="Against D2, to which masks are real.")
    teacher_adversarial_weight: float = Field(0.05, ge=0, description="The teacher's, against D1, likewise.")
    distilled_weight: float = Field(0.05, ge=0, description="Against D3, to which the teacher's maps are real.")
    consistency_weight: float = Field(1.0, ge=0, description="L1 between the network's and the teacher's maps.")
    feature_weight: float = Field(
        0.5, ge=0, description="MSE of the deepest features, the network's through a 1×1 adapter."
    )
    discriminator_width: int = Field(32, ge=1, description="Channels of a discriminator's first level.")
    discriminator_lr: float = Field(4e-4, gt=0, description="Learning rate of discriminators (TTUR: 4 × optimizer.lr).")
    stop_at_loss: float | None = Field(
        0.01,
        gt=0,
        lt=2,
        description="A discriminator whose loss over a whole epoch is below this (2 by guessing) ends the run; null: "
        "never.",
    )


class ObjectiveConfig(Settings):
    """Loss terms and their weights (Cun & Pun, ECCV 2020, eq. 2 and 3; Distill-DBDGAN, TOMM 2023)."""

    kind: Literal["distillation", "adversarial"] = Field(
        "distillation", description="Depth distillation alone, or Distill-DBDGAN's discriminators beside it."
    )
    adversarial: AdversarialConfig = AdversarialConfig()

    bce: Literal["weighted", "plain"] = Field("weighted", description="The paper's class-weighted BCE, or plain BCE.")
    depth_weight: float = Field(
        0.1, ge=0, description="gamma, the weight of the depth distillation loss; above 0 the data needs depths."
    )
    iou_weight: float = Field(0.0, ge=0, description="Weight of a soft-IoU term beside the BCE.")
    l1_weight: float = Field(0.0, ge=0, description="Weight of the mean absolute error, the metric, beside the BCE.")
    side_weight: float = Field(1.0, ge=0, description="Weight of the side outputs' losses against the fused one's.")
    teacher_checkpoints: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Detectors to learn from: checkpoint folders, models of the package, or models:/ URIs."
    )
    teacher_scales: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        (1.0,), min_length=1, description="Sizes, relative to the training size, at which each teacher looks."
    )
    teacher_flip: bool = Field(False, description="Each teacher also looks at the mirrored picture.")
    teacher_weight: float = Field(
        0.0, ge=0, le=1, description="Share of the focus terms that is taken against the teachers' mean map."
    )
    feature_weight: float = Field(
        0.0, ge=0, description="Weight of attention transfer from the first teacher's encoder; its paper takes 1000."
    )

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        self._check_adversarial()
        of_maps, fields = ("teacher_scales", "teacher_flip"), type(self).model_fields
        if not self.teacher_checkpoints:
            for name in _OF_TEACHERS:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect without teacher_checkpoints: name one, or remove {name}")
        elif not self.teacher_weight and not self.learns_from_maps:
            if not self.wants_features:
                raise ValueError("teacher_checkpoints has no effect: set teacher_weight or feature_weight above 0")
            # features are taken from the first teacher, at the training size
            for name in of_maps:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect with teacher_weight=0: remove it")
            if len(self.teacher_checkpoints) > 1:
                raise ValueError("teacher_checkpoints: all but the first have no effect with teacher_weight=0")
        return self

    @property
    def wants_features(self) -> bool:
        """Whether a loss needs the features of a finished teacher."""
        return self.feature_weight > 0 or (self.kind == "adversarial" and self.adversarial.feature_weight > 0)

    @property
    def learns_from_maps(self) -> bool:
        """Whether the adversarial scheme uses a finished teacher's maps."""
        scheme = self.adversarial
        return self.kind == "adversarial" and scheme.distilled_weight + scheme.consistency_weight > 0

    def _check_adversarial(self) -> None:
        scheme, fields = self.adversarial, AdversarialConfig.model_fields
        if self.kind != "adversarial":
            if scheme != AdversarialConfig():
                raise ValueError("adversarial has no effect with kind=distillation: remove it, or set kind=adversarial")
            return
        if scheme.teacher is not None and self.teacher_checkpoints:
            raise ValueError(
                "adversarial.teacher and teacher_checkpoints: the network has one teacher, give one of them"
            )
        if scheme.teacher is None and scheme.teacher_adversarial_weight != fields["teacher_adversarial_weight"].default:
            raise ValueError("adversarial.teacher_adversarial_weight has no effect without adversarial.teacher")
        if scheme.teacher is not None and not any(getattr(scheme, name) for name in _OF_A_TEACHER):
            raise ValueError(
                f"adversarial.teacher teaches nothing: raise one of {', '.join(_OF_A_TEACHER)}, or remove it"
            )
        if scheme.teacher is None and not self.teacher_checkpoints:
            for name in _OF_A_TEACHER:
                if getattr(scheme, name) != fields[name].default:
                    raise ValueError(f"adversarial.{name} has no effect without a teacher: remove it")

    @model_serializer(mode="wrap")
    def _without_settings_of_no_effect(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a run without teachers or discriminators is the same run as before there were any: it must resume
        written: dict[str, Any] = handler(self)
        if self.kind == "distillation":
            written.pop("kind", None)
            written.pop("adversarial", None)
        if not self.teacher_checkpoints:
            for name in ("teacher_checkpoints", *_OF_TEACHERS):
                written.pop(name, None)
        return written
