"""The model that another one is measured against, and what comes of it: who is `@champion`."""

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
    """A model that looks at the same photos.

    Args:
        name: What it is called in the comparison.
        checkpoint: Its local checkpoint folder.
        config: Of the evaluation.
    """

    def __init__(self, name: str, checkpoint: Path, config: EvaluateConfig) -> None:
        self.name = name
        self.detector = Detector.load(checkpoint, device=config.device, engine=config.engine)
        self._config = config
        self._values: list[float] = []

    def measure(self, photos: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> None:
        """Look at some more photos.

        Args:
            photos: uint8 RGB H×W×3 each.
            truths: uint8 H×W each, 255 = in focus.
        """
        found = self.detector.detect_each(photos, refine=self._config.refine)
        for focus_map, truth in zip(found, truths, strict=True):
            self._values.append(FocusMetrics().update(focus_map.focus, truth)[self._config.compare_by])

    def compare(self, values: Sequence[float]) -> Comparison:
        """Compare with the other model's values of the same photos."""
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
    """Load whom a model is compared with: the champion, or the model that `against` names.

    Args:
        config: Of the evaluation.
        uri: Of the registry.
        detector: The model itself.
        champion: From `find_champion_to_beat`.
        photos: How many there are to compare on.

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
        config: Of the evaluation.
        log: Its run.
        checkpoint: The model's local folder.
        champion: The present one.
        comparison: With the present one; None if there is none, or if it is this model.

    Returns:
        What was decided, for people.

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
