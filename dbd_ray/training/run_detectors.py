"""The detectors that runs learn from or begin with: loaded once for one run, or tried for many."""

from collections.abc import Sequence

from dbd_ray.config import TrainConfig
from dbd_ray.errors import ConfigError
from dbd_ray.training.detector_teachers import DetectorTeacher, load_detector_teacher
from dbd_ray.training.run_folder import has_checkpoint
from dbd_ray.training.start import Start, load_start


class RunDetectors:
    """The detectors of one run, each loaded once.

    Those in local folders are loaded at once, so that a missing or damaged one is refused before Ray starts; those of a
    registry by `take`, so that the registry is asked once only, when the run starts.

    Args:
        config: The run, with absolute paths.

    Raises:
        ConfigError: A local one is missing, damaged, or of another network than a run that begins with it.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._teachers = [
            None if _is_registered(checkpoint) else load_detector_teacher(checkpoint)
            for checkpoint in config.objective.teacher_checkpoints
        ]
        # a run that goes on has its weights in its own checkpoint
        self._begins = not has_checkpoint(config)
        self._start = load_start(config) if self._begins and not _is_registered(config.start_from or "") else None

    def take(self, registry: str) -> tuple[tuple[DetectorTeacher, ...], Start | None]:
        """Load those of a registry, and hand over all detectors: no reference is kept here, for networks are large.

        Args:
            registry: URI of the MLflow registry for models:/ URIs.

        Returns:
            The detector teachers, and the detector to begin with, None where there is none.

        Raises:
            ConfigError: One is missing, damaged, or of another network than a run that begins with it.
        """
        checkpoints = self._config.objective.teacher_checkpoints
        teachers = tuple(
            teacher or load_detector_teacher(checkpoint, registry)
            for checkpoint, teacher in zip(checkpoints, self._teachers, strict=True)
        )
        start = self._start or (load_start(self._config, registry) if self._begins else None)
        self._teachers, self._start = [None] * len(checkpoints), None
        return teachers, start


def check_detectors(runs: Sequence[TrainConfig], registry: str) -> None:
    """Load every detector that some of many runs begin with or learn from, each once, one at a time.

    Args:
        runs: The runs, with absolute paths. One that goes on has its weights in its own checkpoint.
        registry: URI of the MLflow registry for models:/ URIs.

    Raises:
        ConfigError: One is missing, damaged, or of another network than a run that would begin with it; names the run
            where the detector is a registry's, or one to begin with.
    """
    teachers = dict.fromkeys(checkpoint for run in runs for checkpoint in run.objective.teacher_checkpoints)
    for checkpoint in teachers:
        if not _is_registered(checkpoint):
            load_detector_teacher(checkpoint)
    known: set[tuple[str, ...]] = set()
    for run in runs:
        begins_with = (run.start_from or "", run.network.model_dump_json())
        try:
            for checkpoint in run.objective.teacher_checkpoints:
                if _is_registered(checkpoint) and (checkpoint,) not in known:
                    load_detector_teacher(checkpoint, registry)
                    known.add((checkpoint,))
            if run.start_from and begins_with not in known and not has_checkpoint(run):
                load_start(run, registry)
                known.add(begins_with)
        except ConfigError as error:
            raise ConfigError(f"run {run.name}: {error}") from error


def _is_registered(checkpoint: str) -> bool:
    return checkpoint.startswith("models:/")
