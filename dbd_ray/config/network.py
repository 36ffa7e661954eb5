"""Settings of networks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dbd_ray.config.settings import Settings

_LEVELS = {"dbdgan_teacher": 4, "dbdgan_student": 5}
_WITHOUT_EFFECT = {
    "lite": ("reduction", "srfb", "widths"),
    **dict.fromkeys(_LEVELS, ("srfb", "reduction", "branches", "width", "sab")),
}


class NetworkConfig(Settings):
    """A network: of depth distillation (Cun & Pun, ECCV 2020, section 3), the light one drawn from it, or those of
    Distill-DBDGAN (TOMM 2023).

    The columns of the first paper's Table 2 are settings of `srfb`, `sab` and `depth`.
    """

    architecture: str = Field("depth_distillation", description="Name of a registered network, e.g. lite.")
    backbone: str = Field("mobilenetv2_100", description="Any timm model with five stride-2 stages, or vgg16.")
    backbone_options: dict[str, Any] = Field(
        default_factory=dict, description="Extra arguments of timm.create_model, e.g. {pad_type: same}."
    )
    backbone_weights: str | None = Field(
        None, description="'timm' (downloaded by name), a local .safetensors file, or null for random weights."
    )
    mean: tuple[float, float, float] | None = Field(None, description="Input mean in [0,1]; null: the backbone's own.")
    std: tuple[float, float, float] | None = Field(None, description="Input std in [0,1]; null: the backbone's own.")
    srfb: Literal["srfb", "rfb", "none"] = Field(
        "srfb", description="Receptive-field block: selective, merged, or none; not with architecture=lite."
    )
    reduction: int = Field(
        4, ge=1, description="Decoder level's middle width = input width / reduction; not with architecture=lite."
    )
    branches: int = Field(4, ge=2, le=4, description="Branches of the receptive-field block, the identity included.")
    width: int = Field(64, ge=8, description="Channels of the decoder's deeper levels; architecture=lite only.")
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        description="Channels of the decoder's levels, deepest first: 4 of dbdgan_teacher, 5 of dbdgan_student; null: "
        "as released. No other architecture.",
    )
    sab: bool = Field(True, description="Gate each level by its side outputs (supervision-guided attention).")
    depth: bool = Field(True, description="Predict depth as well, to be distilled from a teacher's depths.")

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        fields = type(self).model_fields
        for name in _WITHOUT_EFFECT.get(self.architecture, ("width", "widths")):
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect with architecture={self.architecture}: remove it")
        if self.srfb == "none" and self.branches != fields["branches"].default:
            raise ValueError("branches has no effect with srfb=none: remove it")
        levels = _LEVELS.get(self.architecture)
        if self.widths is not None and len(self.widths) != levels:
            raise ValueError(f"widths: architecture={self.architecture} has {levels} levels, give as many numbers")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together: give both or neither")
        return self

    @model_serializer(mode="wrap")
    def _without_widths_as_released(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a network is the same one as before there were any
        written: dict[str, Any] = handler(self)
        if self.widths is None:
            written.pop("widths", None)
        return written
