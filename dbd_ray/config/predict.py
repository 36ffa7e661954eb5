"""Settings of `dbd-ray predict`: the model, how it looks at photo files, and the results that are written."""

from typing import Any, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from dbd_ray.config.settings import LocalPath, Settings
from dbd_ray.errors import ConfigError
from dbd_ray.names import (
    MAX_PIXELS,
    MOST_TILES,
    RESULT_FILES,
    EngineName,
    MaskLayout,
    Orientation,
    Polarity,
    Refinement,
    ResultFile,
)

_MASK_SETTINGS = ("threshold", "margin", "layout", "orientation")


class PredictConfig(Settings):
    """Detecting focus in photo files and writing the results."""

    out: LocalPath = Field(description="Folder of the results.")
    model: str | None = Field(
        None, description="Packaged model, checkpoint folder, or models:/NAME@ALIAS; null: the only packaged one."
    )
    save: tuple[ResultFile, ...] = Field(
        ("focus", "overlay", "json"), description="Which results; a text names them with commas between."
    )
    refine: Refinement = Field("guided", description="How maps come to native size.")
    tile: int = Field(1, ge=1, le=MOST_TILES, description="Tiles along the longer side: finds small subjects.")
    polarity: Polarity = Field("focus", description="What white means in the focus maps and masks.")
    threshold: float = Field(0.5, gt=0, le=1, description="From this focus on a pixel is white in a mask.")
    margin: int = Field(
        0, ge=-256, le=256, description="So many px what is in focus grows in a mask; it shrinks below 0."
    )
    layout: MaskLayout | None = Field(
        None, description="Masks named for this program in the folder masks; null: beside the other results."
    )
    orientation: Orientation | None = Field(
        None, description="How masks lie; null: stored with a layout, else displayed."
    )
    batch_size: int = Field(8, ge=1, description="Photos per forward pass; fewer where they are large.")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="Larger photos are refused, height × width.")
    force: bool = Field(False, description="Replace files that are no results of the same photo, too.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    engine: EngineName = Field("auto", description="What runs the network, see docs/engines.md.")

    # the command has no file of settings: what is wrong with one option is told in one line, without a heading

    @field_validator("save", mode="before")
    @classmethod
    def _known_results(cls, save: Any) -> Any:
        if not isinstance(save, str | list | tuple):
            return save  # told by the field's own type
        given = save.split(",") if isinstance(save, str) else map(str, save)
        names = [name.strip() for name in given if name.strip()]
        unknown = [name for name in names if name not in RESULT_FILES]
        if unknown or not names:
            raise ConfigError(
                f"save: {', '.join(unknown) or 'nothing'} cannot be saved; choose of {', '.join(RESULT_FILES)}"
            )
        return tuple(names)

    @field_validator("refine", "polarity", "engine", "layout", "orientation", mode="before")
    @classmethod
    def _known_choice(cls, value: Any, field: ValidationInfo) -> Any:
        choices = _choices(cls.model_fields[str(field.field_name)].annotation)
        if value not in choices and not (value is None and field.field_name in _MASK_SETTINGS):
            raise ConfigError(f"{field.field_name}: {value!r} is unknown, choose one of {', '.join(choices)}")
        return value

    @property
    def masks_as_stored(self) -> bool:
        """Whether masks lie as the pixels of the photo's file do; COLMAP and others read these without turning them."""
        return (self.orientation or ("stored" if self.layout else "displayed")) == "stored"

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if self.polarity == "blur" and not {"focus", "mask"}.intersection(self.save):
            raise ConfigError("polarity: blur has no effect, for no focus maps are saved: add focus to save")
        for name in _MASK_SETTINGS if "mask" not in self.save else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ConfigError(f"{name}: has no effect, for no masks are saved: add mask to save")
        if self.polarity == "blur" and self.layout:
            raise ConfigError(f"polarity: {self.layout} uses what is white in a mask: leave blur out, or layout")
        if self.tile > 1 and "depth" in self.save:
            raise ConfigError(f"save: tile={self.tile} gives no depth; leave depth out, or tile")
        return self


def _choices(annotation: Any) -> tuple[str, ...]:
    """List the texts that a choice, or one that may be null, can be."""
    return tuple(text for part in get_args(annotation) for text in (get_args(part) or (part,)) if isinstance(text, str))
