"""Settings of the workers that a training run is spread over."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbd_ray.config.settings import Settings

Count = Annotated[int, Field(ge=1)]


class WorkersConfig(Settings):
    """Number and resources of a training run's workers, and what happens when some are lost."""

    count: Count | tuple[Count, Count] = Field(
        1,
        description="Ray Train workers (data-parallel ranks), or [fewest, most]: as many as there is room for.",
    )
    cpus: float = Field(1, gt=0, description="CPUs per worker: torch threads, or with a GPU threads that decode ahead.")
    gpu: bool | Literal["auto"] = Field("auto", description="One GPU per worker; auto: if the cluster has enough.")
    wait_for_nodes: bool = Field(
        False, description="Wait for nodes that the cluster adds by itself; false: refuse workers that have no room."
    )
    max_failures: int = Field(
        3, ge=0, description="How often lost workers are replaced, to go on from the last epoch; preempted ones always."
    )
    sync_batchnorm: bool = Field(
        False, description="Batch norms take their statistics over all workers' pictures; on GPUs only."
    )

    @property
    def fewest(self) -> int:
        return self.count if isinstance(self.count, int) else self.count[0]

    @property
    def most(self) -> int:
        return self.count if isinstance(self.count, int) else self.count[1]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not isinstance(self.count, int) and self.fewest >= self.most:
            raise ValueError(f"count={list(self.count)}: write [fewest, most] in rising order, or one number")
        if self.sync_batchnorm and self.most == 1:
            raise ValueError("sync_batchnorm has no effect with one worker: remove it, or raise count")
        if self.sync_batchnorm and self.gpu is False:
            raise ValueError("sync_batchnorm: torch synchronises batch norms on GPUs only; remove it, or set gpu=true")
        return self
