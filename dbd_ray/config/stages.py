"""Settings of the stages around training: preparing a dataset (`prepare`) and measuring a model (`evaluate`)."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from dbd_ray.config.settings import ModelName, Settings, Size
from dbd_ray.names import EngineName, Layout, MeasuredLayout, Polarity, Refinement, Split


def _stated(settings: BaseModel, names: Iterable[str]) -> list[str]:
    # by value, since 0 and False may be stated: what equals the default has no effect that anybody could miss
    fields = type(settings).model_fields
    return [n for n in names if getattr(settings, n) != fields[n].get_default(call_default_factory=True)]


class PrepareConfig(Settings):
    """Making a prepared dataset, either of labelled photos (`root`) or of rendered scenes (`scenes`)."""

    out: str = Field(min_length=1, description="Folder or URI of the prepared dataset.")
    size: Size = Field(
        (320, 320), description="Height and width of pictures and masks, px, or one number for both; 32 to 8192."
    )
    validation_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the training pictures held out.")
    root: str | None = Field(None, min_length=1, description="Folder or URI of labelled photos.")
    layout: Layout | None = Field(None, description="How its files are laid out; default cuhk.")
    polarity: Polarity | None = Field(None, description="What white means; layout=folder only.")
    allow_constant_masks: bool = Field(False, description="Accept masks all in or all out of focus.")
    inverted: tuple[str, ...] = Field((), description="Ids of photos whose masks are known to be the wrong way round.")
    exclude: tuple[str, ...] = Field((), description="Ids of photos to leave out, e.g. whose masks are wrong.")
    scenes: int | None = Field(None, ge=1, description="Number of thin-lens scenes to render instead.")
    photos: str | None = Field(
        None, min_length=1, description="Folder of photos that scenes are cut from; null: painted shapes."
    )
    seed: int | None = Field(None, ge=0, description="Seed of the scenes; default 0.")
    test_fraction: float | None = Field(None, ge=0, lt=1, description="Share of scenes held out as test; default 0.")
    scene: dict[str, Any] = Field(default_factory=dict, description="Settings of datasets.scenes.SceneConfig.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.root is None) == (self.scenes is None):
            raise ValueError("give either root (labelled photos) or scenes (a number to render)")
        of_scenes = ("photos", "seed", "test_fraction", "scene")
        of_photos = ("layout", "polarity", "allow_constant_masks", "inverted", "exclude")
        source = "scenes" if self.root is None else "root"
        idle = _stated(self, of_photos if self.root is None else of_scenes)
        if idle:
            raise ValueError(f"{', '.join(idle)} has no effect with {source}: remove it")
        if "size" in self.scene:
            raise ValueError("scene.size has no effect: scenes are rendered at the dataset's size, set size instead")
        if self.validation_fraction + (self.test_fraction or 0) > 1:
            raise ValueError("validation_fraction and test_fraction must together be at most 1")
        return self


class MeasuredSet(Settings):
    """Photos to measure on: labelled ones at their native size, prepared ones at the dataset's, or focus stacks."""

    root: str | None = Field(None, min_length=1, description="Folder or URI of labelled photos.")
    layout: MeasuredLayout | None = Field(None, description="How its files are laid out; default cuhk.")
    polarity: Polarity | None = Field(None, description="What white means; layout=folder only.")
    allow_constant_masks: bool = Field(False, description="Accept masks all in or all out of focus.")
    exclude: tuple[str, ...] = Field((), description="Ids of photos to leave out, e.g. whose masks are wrong.")
    prepared: str | None = Field(None, min_length=1, description="A prepared dataset instead.")
    split: Split = "test"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        self._check_source()
        return self

    def _check_source(self) -> None:
        if (self.root is None) == (self.prepared is None):
            raise ValueError("give either root (labelled photos) or prepared (a prepared dataset)")
        idle = _stated(self, ("layout", "polarity", "allow_constant_masks", "exclude"))
        if self.prepared is not None and idle:
            raise ValueError(f"{', '.join(idle)} has no effect with prepared: remove it")
        if self.root is not None and self.split == "val":
            raise ValueError("split=val exists only in prepared datasets")
        of_masks = _stated(self, ("polarity", "allow_constant_masks", "exclude", "split"))
        if self.layout == "stacks" and of_masks:
            raise ValueError(f"{', '.join(of_masks)} has no effect with layout=stacks: remove it")


class EvaluateConfig(MeasuredSet):
    """Measuring a model on one set (`root` or `prepared`), or on several at once (`sets`)."""

    model: str = Field(description="Packaged model, checkpoint folder, or models:/NAME@ALIAS.")
    out: str = Field(description="Folder of the report.")
    sets: dict[Annotated[str, Field(pattern=r"^\w[\w-]*$")], MeasuredSet] = Field(
        default_factory=dict,
        description="Several sets by name instead, each with root or prepared, layout (also stacks), split, … of its "
        "own: one table, and a report for each.",
    )
    refine: Refinement = Field("guided", description="How maps come to native size.")
    device: str = "auto"
    engine: EngineName = Field("eager", description="What runs the network; eager: float32, the same everywhere.")
    batch_size: int = Field(8, ge=1)
    storage: str = Field("runs", description="Folder of mlflow.db where MLFLOW_TRACKING_URI is not set.")
    against: str | None = Field(None, min_length=1, description="A model to compare with, photo by photo.")
    promote: bool = Field(False, description="Compare with @champion, and take its place if better.")
    registered_model: ModelName = Field("dbd-ray", description="Whose @champion; promote only.")
    compare_by: str = Field("mae", description="The metric of the comparison, one that is a mean over photos.")
    significance: float = Field(0.05, gt=0, le=1, description="Largest two-sided p-value that makes it better.")

    def _check_source(self) -> None:
        if not self.sets:
            super()._check_source()
            if self.layout == "stacks":
                raise ValueError("layout=stacks is one of several sets: set sets={stacks: {root: …, layout: stacks}}")
            return
        one_set = tuple(MeasuredSet.model_fields)
        idle = _stated(self, (*one_set, "against", "promote"))
        if idle:
            raise ValueError(f"{', '.join(idle)} has no effect with sets: remove it")

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        if self.promote and self.against is not None:
            raise ValueError("promote compares with the champion: remove against, or promote")
        idle = _stated(self, ("compare_by", "significance"))
        if idle and not (self.promote or self.against is not None):
            raise ValueError(f"{', '.join(idle)} has no effect without against or promote: remove it")
        if _stated(self, ("registered_model",)) and not self.promote:
            raise ValueError("registered_model has no effect without promote: remove it")
        if self.promote and self.split == "train":
            raise ValueError("promote needs photos that were not trained on: choose split=test, or val")
        return self
