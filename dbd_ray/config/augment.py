"""Settings of augmentation: random changes of training pictures."""

from typing import Self

from pydantic import Field, model_validator

from dbd_ray.config.settings import Settings


class AugmentConfig(Settings):
    """Random changes of training pictures; each default leaves the picture as it is."""

    flip: bool = Field(False, description="Mirror left-right, half of the time.")
    crop_min_scale: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Zoom-crop: smallest side of the crop / the picture's; a crop is never enlarged, since that looks "
        "like blur, so data must be prepared larger than input_size.",
    )
    colour: float = Field(0.0, ge=0, le=1, description="Strength of brightness, contrast and saturation changes.")
    gray_probability: float = Field(0.0, ge=0, le=1, description="How often a picture becomes black-and-white.")
    jpeg_probability: float = Field(0.0, ge=0, le=1, description="How often a picture is recompressed.")
    jpeg_quality: tuple[int, int] = Field((40, 95), description="Range of the recompression's JPEG quality.")
    rotate_degrees: float = Field(0.0, ge=0, le=180, description="Largest turn to either side, mirrored at the border.")
    exposure_stops: float = Field(0.0, ge=0, le=4, description="Largest change of exposure, in linear light.")
    noise: float = Field(0.0, ge=0, le=0.5, description="Largest standard deviation of sensor noise, white = 1.")
    shrink: float = Field(1.0, gt=0, le=1, description="Smallest scale at which a picture loses detail, then enlarged.")
    defocus_probability: float = Field(
        0.0, ge=0, le=1, description="How often the whole picture goes out of focus, and its mask with it."
    )
    paste_probability: float = Field(
        0.0, ge=0, le=1, description="How often another picture, as it is or out of focus, replaces what is blurred."
    )

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if self.jpeg_probability == 0 and self.jpeg_quality != type(self).model_fields["jpeg_quality"].default:
            raise ValueError("jpeg_quality has no effect with jpeg_probability=0")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError("jpeg_quality must be two rising numbers in 1..100")
        return self
