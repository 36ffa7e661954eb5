"""Settings of the endpoint: the model, its batches, and the limits of a request."""

import re

from pydantic import Field, field_validator

from dbd_ray.config.settings import Settings
from dbd_ray.names import MOST_TILES, EngineName

KEYS_VARIABLE = "DBD_RAY_API_KEYS"


class LimitsConfig(Settings):
    """Limits of what a client may ask for; more is refused before it costs memory."""

    max_bytes: int = Field(32 * 2**20, ge=1, description="Of one encoded photo.")
    max_pixels: int = Field(
        64_000_000,
        ge=1,
        description="Height × width of one photo, read from its header. Lower than that of predict, 160 million: "
        "several photos are in memory at once.",
    )
    max_photos: int = Field(16, ge=1, description="Photos of one /v1/batch.")
    max_batch_bytes: int = Field(128 * 2**20, ge=1, description="The whole body of one /v1/batch.")
    max_tile: int = Field(8, ge=1, le=MOST_TILES, description="Tiles along a photo's longer side.")
    body_timeout_s: float = Field(30, gt=0, description="For a body to arrive; a slower one is answered 408.")
    answer_timeout_s: float = Field(60, gt=0, description="From the body's end to the answer; 408 beyond.")
    photos_at_once: int = Field(
        32, ge=1, description="Photos that one gateway has in hand, from a body's end to the answer; 429 beyond."
    )
    pixels_at_once: int = Field(
        128_000_000, ge=1, description="Pixels that one gateway works on, about 20 bytes each; further photos wait."
    )


class ServeConfig(Settings):
    """Arguments of the Serve application (`args` in serve/config.yaml); replicas are Ray Serve's own settings."""

    model: str = Field("lite", min_length=1, description="Packaged model, checkpoint folder, or models:/NAME@ALIAS.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    engine: EngineName = Field("auto", description="What runs the network, see docs/engines.md.")
    batch_megapixels: float = Field(
        0.82, gt=0, description="Pictures of one forward pass, as the network sees them: 0.82 are eight of 320×320."
    )
    batch_wait_ms: float = Field(4, ge=0, description="How long a picture waits for others to share its pass.")
    calls_at_once: int = Field(
        2, ge=1, description="Calls of one gateway to detectors; further photos wait until they fill a call."
    )
    share_wait_ms: float = Field(500, ge=0, description="How long a photo waits for that at most.")
    keys_file: str | None = Field(
        None, min_length=1, description=f"File with one API key per line; null: keys from {KEYS_VARIABLE}, if any."
    )
    page: bool = Field(True, description="Serve the page for trying it at /.")
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins of other websites whose pages may ask, e.g. [https://app.example]; none by default."
    )
    limits: LimitsConfig = LimitsConfig()

    @field_validator("cors_origins")
    @classmethod
    def _exact(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            # browsers send it like that, and it is compared letter by letter
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin):
                raise ValueError(
                    f"{origin!r} is no origin: write it as https://host or http://host:port, without path or *"
                )
        return origins

    @field_validator("limits")
    @classmethod
    def _a_photo_fits(cls, limits: LimitsConfig) -> LimitsConfig:
        if limits.max_pixels > limits.pixels_at_once:
            raise ValueError(
                f"max_pixels={limits.max_pixels} exceeds pixels_at_once={limits.pixels_at_once}: "
                "such a photo could never be decoded; raise the one or lower the other"
            )
        if limits.max_bytes > limits.max_batch_bytes:
            raise ValueError(f"max_batch_bytes={limits.max_batch_bytes} holds no photo of max_bytes={limits.max_bytes}")
        return limits
