"""Measuring a second model on the photos of an evaluation, and promotion to `@champion` by the comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbd_ray.checkpoints.find import opened_checkpoint
from dbd_ray.config import EvaluateConfig
from dbd_ray.detection.detector import Detector
from dbd_ray.errors import ConfigError
from dbd_ray.evaluation.comparison import Comparison, check_metric, check_photos, compare
from dbd_ray.metrics import FocusMetrics
from dbd_ray.registration import promote
from dbd_ray.tracking.registry import CHAMPION, RegisteredModel, find_champion
from dbd_ray.tracking.runs import RunLog


class Rival:
    """A second model that is measured on the same photos.

    Args:
        name: Its name in the comparison.
        checkpoint: Its local checkpoint folder.
        config: Settings of the evaluation.
    """

    def __init__(self, name: str, checkpoint: Path, config: EvaluateConfig) -> None:
        self.name = name
        self.detector = Detector.load(checkpoint, device=config.device, engine=config.engine)
        self._config = config
        self._values: list[float] = []

    def measure(self, photos: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> None:
        """Measure some more photos.

        Args:
            photos: uint8 RGB H×W×3 each.
            truths: uint8 H×W each, 255 = in focus.
        """
        found = self.detector.detect_each(photos, refine=self._config.refine)
        for focus_map, truth in zip(found, truths, strict=True):
            self._values.append(FocusMetrics().update(focus_map.focus, truth)[self._config.compare_by])

    def compare(self, values: Sequence[float]) -> Comparison:
        """Compare the evaluated model with this one.

        Args:
            values: The metric `compare_by` of each photo for the evaluated model, in the order of `measure`.
        """
        config = self._config
        return compare(
            values, self._values, metric=config.compare_by, against=self.name, significance=config.significance
        )


def find_champion_to_beat(config: EvaluateConfig, uri: str) -> RegisteredModel | None:
    """Look up the present champion where the settings say `promote`; None if there is none, or nobody asked.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    return find_champion(uri, config.registered_model) if config.promote else None


def choose_rival(
    config: EvaluateConfig, uri: str, detector: Detector, champion: RegisteredModel | None, photos: int
) -> Rival | None:
    """Load the model that the evaluated one is compared with: the champion, or the one that `against` names.

    Args:
        config: Settings of the evaluation.
        uri: URI of the registry.
        detector: The evaluated model.
        champion: The present champion, from `find_champion_to_beat`.
        photos: Number of photos to compare on.

    Returns:
        None where no comparison is asked for, there is no champion yet, or the model is the champion.

    Raises:
        ConfigError: The comparison makes no sense.
        CheckpointError: The other model cannot be loaded.
    """
    if not (config.promote or config.against):
        return None
    check_metric(config.compare_by)
    if champion and champion.fingerprint != detector.card.fingerprint:
        check_photos(photos)
        with opened_checkpoint(champion.uri, registry=uri) as checkpoint:
            return Rival(f"{champion.uri} (@{CHAMPION})", checkpoint, config)
    if not config.against:
        return None
    check_photos(photos)
    with opened_checkpoint(config.against, registry=uri) as checkpoint:
        rival = Rival(config.against, checkpoint, config)
    if rival.detector.card.fingerprint == detector.card.fingerprint:
        raise ConfigError(f"against: {config.against} is the same model as {config.model}; choose another")
    return rival


def decide(
    config: EvaluateConfig,
    log: RunLog,
    checkpoint: Path,
    champion: RegisteredModel | None,
    comparison: Comparison | None,
) -> str:
    """Make a model the champion if it is better than the present one, or if it is the first.

    Args:
        config: Settings of the evaluation.
        log: MLflow run of the evaluation.
        checkpoint: The model's local checkpoint folder.
        champion: The present champion; None if there is none.
        comparison: Comparison with the present champion; None if there is none, or if it is this model.

    Returns:
        One line that says what was decided.

    Raises:
        ConfigError: The registry cannot be reached.
    """
    if champion and comparison is None:
        return f"{champion.uri} is @{CHAMPION} already: it is this model"
    if champion and comparison and comparison.verdict != "better":
        return f"{champion.uri} stays @{CHAMPION}"
    reasons = {"promoted.by_run": log.run_id, "promoted.because": comparison or "the first one"}
    version = promote(log, checkpoint, config.registered_model, reasons)
    if champion is None:
        return f"{version.uri} is @{CHAMPION} now: the first one, there was none to compare with"
    return f"{version.uri} is @{CHAMPION} now, in place of {champion.uri}"
