"""Settings of the objective: the loss terms that a training run minimises."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dbd_ray.config.settings import Settings

_OF_TEACHERS = ("teacher_weight", "feature_weight", "teacher_scales", "teacher_flip")


class ObjectiveConfig(Settings):
    """Loss terms and their weights (Cun & Pun, ECCV 2020, eq. 2 and 3)."""

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
        of_maps, fields = ("teacher_scales", "teacher_flip"), type(self).model_fields
        if not self.teacher_checkpoints:
            for name in _OF_TEACHERS:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect without teacher_checkpoints: name one, or remove {name}")
        elif not self.teacher_weight:
            if not self.feature_weight:
                raise ValueError("teacher_checkpoints has no effect: set teacher_weight or feature_weight above 0")
            # features are taken from the first teacher, at the training size
            for name in of_maps:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect with teacher_weight=0: remove it")
            if len(self.teacher_checkpoints) > 1:
                raise ValueError("teacher_checkpoints: all but the first have no effect with teacher_weight=0")
        return self

    @model_serializer(mode="wrap")
    def _without_settings_of_no_effect(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a run without teachers is the same run as before there were any: it must resume
        written: dict[str, Any] = handler(self)
        if not self.teacher_checkpoints:
            for name in ("teacher_checkpoints", *_OF_TEACHERS):
                written.pop(name, None)
        return written
