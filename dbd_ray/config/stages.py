"""Settings of the stages around training: preparing a dataset and evaluating a model."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dbd_ray.config.settings import Settings

LayoutName = Literal["cuhk", "dut", "szu-bd", "folder"]


class PrepareConfig(Settings):
    """Making a prepared dataset, either of labelled photos (`root`) or of rendered scenes (`scenes`)."""

    out: str = Field(description="Folder or URI of the prepared dataset.")
    size: tuple[int, int] = Field((320, 320), description="Height and width of pictures and masks, px.")
    validation_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the training pictures held out.")
    root: str | None = Field(None, description="Folder or URI of labelled photos.")
    layout: LayoutName | None = Field(None, description="How its files are laid out; default cuhk.")
    polarity: Literal["focus", "blur"] | None = Field(None, description="What white means; layout=folder only.")
    allow_constant_masks: bool = Field(False, description="Accept masks all in or all out of focus.")
    scenes: int | None = Field(None, ge=1, description="Number of thin-lens scenes to render instead.")
    photos: str | None = Field(None, description="Folder of photos that scenes are cut from; null: painted shapes.")
    seed: int | None = Field(None, description="Seed of the scenes; default 0.")
    test_fraction: float | None = Field(None, ge=0, lt=1, description="Share of scenes held out as test; default 0.")
    scene: dict[str, Any] = Field(default_factory=dict, description="Settings of datasets.scenes.SceneConfig.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.root is None) == (self.scenes is None):
            raise ValueError("give either root (labelled photos) or scenes (a number to render)")
        of_scenes = ("photos", "seed", "test_fraction", "scene")
        of_photos = ("layout", "polarity", "allow_constant_masks")
        idle = [name for name in (of_scenes if self.root else of_photos) if getattr(self, name)]
        if idle:
            raise ValueError(f"{', '.join(idle)} has no effect with {'root' if self.root else 'scenes'}: remove it")
        return self


class EvaluateConfig(Settings):
    """Measuring a model on labelled photos at their native size, or on a prepared dataset at its size."""

    model: str = Field(description="Packaged model, checkpoint folder, or models:/NAME@ALIAS.")
    out: str = Field(description="Folder of the report.")
    root: str | None = Field(None, description="Folder or URI of labelled photos.")
    layout: LayoutName | None = Field(None, description="How its files are laid out; default cuhk.")
    polarity: Literal["focus", "blur"] | None = Field(None, description="What white means; layout=folder only.")
    allow_constant_masks: bool = Field(False, description="Accept masks all in or all out of focus.")
    prepared: str | None = Field(None, description="A prepared dataset instead.")
    split: Literal["train", "val", "test"] = "test"
    refine: Literal["guided", "bilinear"] = Field("guided", description="How maps come to native size.")
    device: str = "auto"
    batch_size: int = Field(8, ge=1)
    storage: str = Field("runs", description="Folder of mlflow.db where MLFLOW_TRACKING_URI is not set.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.root is None) == (self.prepared is None):
            raise ValueError("give either root (labelled photos) or prepared (a prepared dataset)")
        idle = [name for name in ("layout", "polarity", "allow_constant_masks") if getattr(self, name)]
        if self.prepared and idle:
            raise ValueError(f"{', '.join(idle)} has no effect with prepared: remove it")
        if self.root and self.split == "val":
            raise ValueError("split=val exists only in prepared datasets")
        return self
