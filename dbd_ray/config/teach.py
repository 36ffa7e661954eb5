"""Settings of the teaching job: the teacher, the photos, the actors and their shares of the machines."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dbd_ray.config.settings import Settings
from dbd_ray.names import MAX_PIXELS, PrecisionName


def _actors(value: Any) -> Any:
    # 2, "2" and "1:4" as people write them; YAML reads 1:4 as the sexagesimal 64, so that it needs quotes there
    if isinstance(value, str):
        value = tuple(int(part) if part.strip().isdigit() else part for part in value.split(":"))
        return (value[0], value[0]) if len(value) == 1 else value
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(ge=1, le=16384)]


def _in_order(actors: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= actors[0] <= actors[1]:
        raise ValueError("give at least 1, and min:max in this order")
    return actors


Actors = Annotated[tuple[int, int], BeforeValidator(_actors), AfterValidator(_in_order)]


class TeachConfig(Settings):
    """Settings of a depth teacher's run over a prepared dataset (`data`) or over any photos (`photos` and `out`)."""

    teacher: str = Field(description="KIND:WHERE; `dbd-ray teach --help` lists the kinds.")
    data: str | None = Field(None, description="Prepared dataset whose rows get the depths.")
    photos: str | None = Field(None, description="Folder of photos, or Parquet manifest with id and uri, instead.")
    out: str | None = Field(None, description="Folder or URI of the depths; with photos.")
    pictures: Literal["original", "prepared"] | None = Field(
        None, description="With data: the original photos where they are known (default), or the prepared pictures."
    )
    size: tuple[Side, Side] | None = Field(
        None, description="With photos: height and width of the depths, px; default each photo's shape, at most 640 px."
    )
    actors: Actors = Field((1, 1), description="How many teachers work side by side: N, or min:max.")
    batch_size: int = Field(16, ge=1, le=64, description="Photos that a teacher sees at once.")
    gpus_per_actor: float | None = Field(
        None, ge=0, le=1, description="GPUs of each teacher, 0.25 puts four on one; default 1 where there are GPUs."
    )
    cpus_per_actor: float = Field(0.5, gt=0, description="CPUs of each teacher; less than 1 leaves room for decoding.")
    cpus_per_decoder: float = Field(0.5, gt=0, description="CPUs of each task that reads and decodes photos.")
    decode_in: Literal["auto", "tasks", "actors"] = Field(
        "auto", description="Who decodes photos: tasks beside the teachers (auto: with GPUs), or the teachers' actors."
    )
    precision: PrecisionName = Field("auto", description="auto: bfloat16 on a GPU.")
    rows_per_task: int = Field(32, ge=1, le=64, description="Photos that are read and decoded in one task.")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="Larger photos are refused, height × width.")
    memory_limit_gib: float | None = Field(
        None, gt=0, description="Object store memory that may be in use, GiB; default half of what the cluster has."
    )
    retry_errors: bool = Field(False, description="Look again at photos that failed before.")
    storage: str = Field("runs", description="Folder of mlflow.db where MLFLOW_TRACKING_URI is not set.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.data is None) == (self.photos is None):
            raise ValueError("give either data (a prepared dataset) or photos (a folder or a manifest)")
        if self.photos and not self.out:
            raise ValueError("out: say where the depths go (with photos)")
        idle = [name for name in (("out", "size") if self.data else ("pictures",)) if getattr(self, name) is not None]
        if idle:
            raise ValueError(f"{', '.join(idle)} has no effect with {'data' if self.data else 'photos'}: remove it")
        low, high = self.actors
        if not 1 <= low <= high:
            raise ValueError(f"actors: {low}:{high} must be min:max with 1 ≤ min ≤ max")
        return self
