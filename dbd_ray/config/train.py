"""Settings of training runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dbd_ray.config.augment import AugmentConfig
from dbd_ray.config.network import NetworkConfig
from dbd_ray.config.objective import ObjectiveConfig
from dbd_ray.config.settings import FolderName, ModelName, Settings, Size, build, layered, merge
from dbd_ray.config.workers import WorkersConfig
from dbd_ray.errors import ConfigError
from dbd_ray.names import PrecisionName


class OptimizerConfig(Settings):
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    momentum: float | None = Field(None, ge=0, lt=1, description="SGD only.")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] | None = Field(
        None, description="AdamW only; null: (0.9, 0.999)."
    )
    weight_decay: float = Field(1e-2, ge=0)
    backbone_lr_scale: float = Field(1.0, gt=0, description="Backbone learning rate / lr.")
    schedule: Literal["constant", "poly", "cosine"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    clip_norm: float | None = Field(None, gt=0, description="Largest global gradient norm; null: no clipping.")

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if self.name == "adamw" and self.momentum is not None:
            # null and not "remove it": the paper recipe sets it, so leaving it out does not help there
            raise ValueError("momentum has no effect with adamw: set it to null, or name=sgd")
        if self.name == "sgd" and self.betas is not None:
            raise ValueError("betas has no effect with sgd: set it to null, or name=adamw")
        return self

    @model_serializer(mode="wrap")
    def _without_usual_betas(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a run is the same one as before they could be set
        written: dict[str, Any] = handler(self)
        if self.betas is None:
            written.pop("betas", None)
        return written


class TrainConfig(Settings):
    """One training run."""

    name: FolderName = Field(
        description="Unique name of the run and its folder; running the same name again resumes it."
    )
    recipe: Literal["paper", "modern"] = Field("modern", description="Where settings left out come from.")
    data: tuple[str, ...] = Field(min_length=1, description="Prepared datasets (folders or URIs).")
    input_size: Size | None = Field(
        None,
        description="Height and width that the network sees, or one number for both; null: as the data was prepared, "
        "which may be larger.",
    )
    ingest: Literal["auto", "cached", "streaming"] = Field(
        "auto", description="Hold the encoded rows in every worker's memory, or stream them anew for every epoch."
    )
    cache_limit_gib: float = Field(8, gt=0, description="Up to this encoded size of the training rows, auto is cached.")
    storage: str = Field("runs", description="Folder or URI for checkpoints.")
    seed: int = Field(0, ge=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1, description="Photos per optimiser step, over all workers.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Most photos that a worker takes at once; the gradients of a batch are added up. null: its whole "
        "share.",
    )
    network: NetworkConfig = NetworkConfig()
    start_from: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A detector of this very network whose weights training begins with: a checkpoint folder, a model "
        "of the package, or a models:/ URI.",
    )
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augment: AugmentConfig = AugmentConfig()
    ema_decay: float | None = Field(None, gt=0, lt=1, description="Weight averaging; null: off.")
    shares: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict,
        description="Share of an epoch by source, e.g. {rendered: 0.2, sharp: 0.1}, whose rows are drawn anew each "
        "epoch; rows of other sources come once each.",
    )
    precision: PrecisionName = "auto"
    select_by: str = Field("mae", description="Validation metric by which the best epoch is kept.")
    keep: Literal["best", "last"] = Field(
        "best",
        description="The epoch that is kept: the best by select_by, or the last, which few validation photos cannot "
        "mislead; with ema_decay its weights are averaged.",
    )
    registered_model: ModelName | None = Field(
        "dbd-ray", description="The model's name in MLflow's registry, where it becomes @candidate; null: not there."
    )
    workers: WorkersConfig = WorkersConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.optimizer.schedule != "constant" and self.optimizer.warmup_epochs >= self.epochs:
            raise ValueError(
                f"optimizer.schedule has no effect when all {self.epochs} epochs are warm-up: "
                f"set optimizer.warmup_epochs below {self.epochs}, or schedule=constant"
            )
        self._check_batch()
        if self.ingest != "auto" and self.cache_limit_gib != type(self).model_fields["cache_limit_gib"].default:
            raise ValueError(f"cache_limit_gib has no effect with ingest={self.ingest}: remove it")
        if sum(self.shares.values()) >= 1:
            raise ValueError("shares must together leave room for other sources: less than 1")
        if self.start_from and self.network.backbone_weights:
            raise ValueError("network.backbone_weights has no effect with start_from: remove it")
        if not self.network.depth and self.objective.depth_weight > 0:
            raise ValueError("objective.depth_weight has no effect with network.depth=false: set it to 0")
        if self.objective.depth_weight > 0 and self.augment.paste_probability == 1:
            raise ValueError(
                "augment.paste_probability=1 leaves no depth to learn from, for a picture that another one is pasted "
                "into has none: lower it, or set network.depth=false and objective.depth_weight=0"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_usual_keep(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # runs, and studies of them, are the same ones as before it could be set: they must resume
        written: dict[str, Any] = handler(self)
        if self.keep == "best":
            written.pop("keep", None)
        return written

    def _check_batch(self) -> None:
        largest_share = largest_part(self.batch_size, self.workers.fewest)
        if self.micro_batch_size is not None and self.micro_batch_size >= largest_share:
            raise ValueError(
                f"micro_batch_size={self.micro_batch_size} has no effect: no worker's share of a batch of "
                f"{self.batch_size} is above {largest_share}; lower or remove it"
            )
        if not self.workers.sync_batchnorm:
            return
        for count in range(self.workers.fewest, self.workers.most + 1):
            # statistics would be taken over the stand-in of a worker without a photo as well
            if self.batch_size // count < self.passes(count):
                raise ValueError(
                    f"workers.sync_batchnorm: with {count} workers some would have no photo of a batch of "
                    f"{self.batch_size} in one of {self.passes(count)} pass(es); make batch_size a multiple of "
                    f"{count}, or raise micro_batch_size"
                )

    def passes(self, workers: int) -> int:
        """Count the forward passes that each worker makes for one optimiser step.

        Args:
            workers: Number of workers among which the batch is divided.
        """
        share = largest_part(self.batch_size, workers)
        return largest_part(share, self.micro_batch_size) if self.micro_batch_size else 1


def largest_part(whole: int, parts: int) -> int:
    """Size of the largest part where a number of things is dealt out as evenly as possible."""
    return -(-whole // parts)


RECIPES: dict[str, dict[str, Any]] = {
    # Cun & Pun, ECCV 2020, section 4, and the choices of the authors' code that it leaves open
    "paper": {
        "epochs": 60,
        "batch_size": 6,
        "optimizer": {"name": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "poly"},
        "augment": {"flip": True},
    },
    "modern": {
        "epochs": 24,
        "batch_size": 8,
        "objective": {"bce": "plain", "iou_weight": 1.0, "side_weight": 0.5},
        "optimizer": {
            "name": "adamw",
            "lr": 1e-3,
            "weight_decay": 1e-2,
            "backbone_lr_scale": 0.3,
            "schedule": "cosine",
            "warmup_epochs": 0.5,
            "clip_norm": 5.0,
        },
        "augment": {
            "flip": True,
            "colour": 0.3,
            "gray_probability": 0.05,
            "jpeg_probability": 0.3,
            "jpeg_quality": [40, 95],
        },
        "ema_decay": 0.998,
    },
}


def load_train_config(path: str | Path | None, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training configuration: the recipe's settings, then the file's, then the overrides'.

    Args:
        path: YAML file, or None to build from overrides alone.
        overrides: `a.b=c` strings, later ones win.

    Raises:
        ConfigError: Names the field, what was wrong with it, and where it came from.
    """
    settings = layered(path, {}, overrides)
    sources = [*([str(path)] if path else []), *(f"--set {override}" for override in overrides)]
    return train_config(settings, where=" with ".join(sources) or "no settings")


def train_config(settings: Mapping[str, Any], *, where: str) -> TrainConfig:
    """Lay settings on those of their recipe and validate them.

    Args:
        settings: Nested settings, as in a YAML file.
        where: Name of their source, for errors.

    Raises:
        ConfigError: Names the field and what was wrong with it.
    """
    recipe = settings.get("recipe", "modern")
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ConfigError(f"{where}:\n  recipe: {recipe!r} is unknown, choose one of {', '.join(RECIPES)}")
    return build(TrainConfig, merge(RECIPES[recipe], settings), where=where)
