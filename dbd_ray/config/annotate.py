"""Settings of `dbd-ray annotate`: the library, what is written of each photo, the detector and the machines."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from dbd_ray.config.settings import Settings
from dbd_ray.config.teach import Actors
from dbd_ray.names import LIBRARY_RESULTS, MAX_PIXELS, MOST_TILES, LibraryResult, MaskLayout, Refinement

_SETTINGS_OF = {"masks": ("masks", "threshold", "margin"), "sidecars": ("sidecar_dir", "keywords", "rating")}


class AnnotateConfig(Settings):
    """Settings of one run over a photo library, which may be repeated: it looks at what is new or changed."""

    source: str = Field(min_length=1, description="Folder or URI of the photos; folders below it are looked into.")
    out: str = Field(min_length=1, description="Folder or URI of the results.")
    save: tuple[LibraryResult, ...] = Field(
        ("focus", "gallery"), description="Beside library.parquet: of focus, masks, crops, gallery and sidecars."
    )
    long_side: int = Field(
        1024, ge=0, description="Longer side at which photos are decoded and focus maps written, px; 0: native size."
    )
    masks: MaskLayout = Field("colmap", description="For which program masks are named and turned.")
    sidecar_dir: str | None = Field(
        None, description="With sidecars: folder for them, as the library's; null: each beside its photo."
    )
    keywords: bool = Field(False, description="With sidecars: keywords as focus:partial among those of others.")
    rating: bool = Field(
        False, description="With sidecars: 1 star for photos without a sharp area, 3 for others, where none is given."
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="From this focus on a pixel is sharp in a mask.")
    margin: int = Field(0, ge=0, description="So many pixels of the sharp side are left out of a mask, native px.")
    pairs: bool = Field(False, description="A camera raw file beside a JPEG of the same name is the same photo.")
    model: str | None = Field(
        None, description="Packaged model, checkpoint folder, or models:/NAME@ALIAS; null: the only packaged one."
    )
    endpoint: str | None = Field(
        None,
        description="Address of an endpoint that looks at the photos in the place of a model here, http://HOST:PORT.",
    )
    refine: Refinement = Field("guided", description="How maps come to the photos' size.")
    tile: int = Field(1, ge=1, le=MOST_TILES, description="Tiles along the longer side: finds small subjects.")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="Larger photos are refused, height × width.")
    actors: Actors = Field(
        (1, 1), description="How many detectors work side by side, or requests to an endpoint: N, or min:max."
    )
    gpus_per_actor: float | None = Field(
        None, ge=0, le=1, description="GPUs of each detector, 0.25 puts four on one; default 1 where there are GPUs."
    )
    cpus_per_actor: float = Field(0.5, gt=0, description="CPUs of each detector; less than 1 leaves room for decoding.")
    cpus_per_task: float = Field(0.5, gt=0, description="CPUs of each task that decodes photos or writes results.")
    photos_per_task: int = Field(16, ge=1, le=64, description="Photos that are decoded in one task.")
    force: bool = Field(False, description="Replace files that are no results of the same photo, too.")
    retry_errors: bool = Field(False, description="Look again at photos that failed before.")
    storage: str = Field("runs", description="Folder of mlflow.db where MLFLOW_TRACKING_URI is not set.")

    @field_validator("save", mode="before")
    @classmethod
    def _names(cls, save: Any) -> Any:
        if not isinstance(save, str):
            return save
        names = tuple(name.strip() for name in save.split(",") if name.strip())
        unknown = [name for name in names if name not in LIBRARY_RESULTS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} cannot be saved; choose of {', '.join(LIBRARY_RESULTS)}")
        return names

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.lower().startswith(("http://", "https://")):
            raise ValueError(f"{endpoint!r} is no address of an endpoint: give http://HOST:PORT")
        return endpoint

    @model_validator(mode="after")
    def _one_detector(self) -> Self:
        if self.endpoint:
            for name in ("model", "gpus_per_actor", "cpus_per_actor"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name}: has no effect with an endpoint, which has its own: leave it out")
        return self

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        for result, names in _SETTINGS_OF.items():
            for name in names if result not in self.save else ():
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name}: has no effect, for no {result} are saved: add {result} to save")
        if "sidecars" in self.save and "://" in self.source:
            raise ValueError("save: sidecars are written beside local photos alone; leave sidecars out")
        return self

    def result_settings(self) -> dict[str, Any]:
        """Give the settings that results depend on: photos are looked at again where one of these has changed."""
        names = {"save", "long_side", "refine", "tile", "max_pixels"}
        for result, settings in _SETTINGS_OF.items():
            names |= set(settings) if result in self.save else set()
        chosen: dict[str, Any] = self.model_dump(mode="json", include=names)
        return chosen | {"save": sorted(chosen["save"])}
