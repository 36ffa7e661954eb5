"""The batched detector deployment: pictures of the network's size in, maps out; its model can change while it runs."""

import asyncio
import logging
from datetime import UTC, datetime
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from ray import serve

from dbd_ray.config import Settings, build
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.transforms import PhotoMaps
from dbd_ray.errors import DbdRayError
from dbd_ray.masking import masked
from dbd_ray.names import EngineName
from dbd_ray.serving.measures import DetectorMeasures
from dbd_ray.serving.messages import DetectorAnswer, ModelInUse, PicturesBySize

_log = logging.getLogger(__name__)

AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": 4,
    "target_ongoing_requests": 2,  # calls of gateways, each with several photos
    "upscale_delay_s": 10,  # as long as it takes to start one
    "downscale_delay_s": 60,
}


class UserConfig(Settings):
    """Settings that change without a restart: `user_config` in a Serve config file."""

    model: str | None = Field(
        None,
        min_length=1,
        description="Takes the present model's place without a pause; null: that of args.",
    )


class _Refused(NamedTuple):
    source: str
    message: str
    at: str


def _tenths_of_megapixels(items: list[np.ndarray]) -> int:
    # Serve wants whole numbers, and such small ones that it does not take them for more requests than a replica has
    return ceil(sum(pictures.shape[0] * pictures.shape[1] * pictures.shape[2] for pictures in items) / 1e5)


@serve.deployment(
    ray_actor_options={"num_cpus": 0.8},
    max_ongoing_requests=32,
    max_queued_requests=64,
    max_surge_percent=100,
    max_constructor_retry_count=3,
    health_check_period_s=2,  # a replica that died is replaced when it is asked next
    graceful_shutdown_timeout_s=100,  # longer than a body and its answer may take
    autoscaling_config=AUTOSCALING,
)
class FocusDetector:
    """Runs the network on pictures of several requests in one forward pass.

    Call it through `RemoteDetector`, which makes the pictures of a photo and its map at the photo's size.

    Args:
        model: As for `Detector.load`; stays in use where `user_config.model` names one that cannot be loaded.
        device: As for `Detector.load`.
        engine: As for `Detector.load`.
        batch_megapixels: Limit of one forward pass, megapixels at the network's size; a single picture may be larger.
        batch_wait_ms: Longest wait of a picture for others to share its pass, ms.

    Raises:
        CheckpointError: The model is missing or damaged.
        ConfigError: There is no such device or engine.
    """

    def __init__(
        self,
        model: str = "lite",
        *,
        device: str = "auto",
        engine: EngineName = "auto",
        batch_megapixels: float = 0.82,
        batch_wait_ms: float = 4,
    ) -> None:
        self._load_options: dict[str, Any] = {"device": device, "engine": engine}
        self._batch_megapixels = batch_megapixels
        self._refused: _Refused | None = None
        self._measures = DetectorMeasures()
        self._forward_pass.set_batch_wait_timeout_s(batch_wait_ms / 1000)  # type: ignore[attr-defined]
        # Serve closes a batch after its wait, also while the network runs on another: pictures that come meanwhile
        # stay outside, so that they make one batch and not many small ones
        self._free = asyncio.Event()
        self._free.set()
        self._largest = 0
        self._own = model
        self._take(model, _loaded(model, self._load_options))

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Exchange the model; if the new one cannot be used the present one stays, and `model` says why."""
        try:
            wanted = build(UserConfig, user_config, where="user_config").model or self._own
            if wanted != self._source or wanted.startswith("models:/"):  # an alias may point elsewhere by now
                self._take(wanted, await asyncio.to_thread(_loaded, wanted, self._load_options))
            self._refused = None
        except Exception as error:  # noqa: BLE001 - Serve would take the application down for whatever is raised here
            given = user_config.get("model", user_config) if isinstance(user_config, dict) else user_config
            source = masked(str(given))
            message = str(error) if isinstance(error, DbdRayError) else masked(f"{type(error).__name__}: {error}")
            self._refused = _Refused(source, message, _now())
            _log.error("model %s cannot be used, %s stays: %s", source, self._source, message)

    async def network_maps(self, photos: list[PicturesBySize]) -> list[DetectorAnswer]:
        """Run the network on the pictures of photos.

        Args:
            photos: The pictures of each photo; those of the model's input size are taken.

        Returns:
            One answer per photo, in their order.
        """
        return await asyncio.gather(*(self._maps_of_photo(pictures) for pictures in photos))

    async def check_health(self) -> None:
        """Report the model in use to the metrics; Serve calls this every few seconds."""
        self._measures.still_here()

    async def model_in_use(self) -> ModelInUse:
        """Name the model in use, and the size of the pictures that it takes."""
        return self._in_use

    async def model(self) -> dict[str, Any]:
        """Describe the model for people, as JSON."""
        card = self._detector.card
        return {
            "name": self._in_use.name,
            "fingerprint": self._in_use.fingerprint,
            "source": self._source,
            "loaded_at": self._loaded_at,
            "engine": self._detector.engine.name,
            "device": str(self._detector.device),
            "input_size": list(self._in_use.input_size),
            "has_depth": self._in_use.has_depth,
            "card": card.model_dump(mode="json"),
            "refused": self._refused and self._refused._asdict(),
        }

    async def _maps_of_photo(self, by_size: PicturesBySize) -> DetectorAnswer:
        model = self._in_use
        # chosen here, not in the batch: what does not fit must not count in a batch's pixels
        pictures = by_size.get(model.input_size)
        if pictures is None:
            return DetectorAnswer(model, None)
        height, width = model.input_size
        step = max(1, int(self._batch_megapixels * 1e6) // (height * width))
        await self._free.wait()
        parts: list[DetectorAnswer] = await asyncio.gather(
            *(self._forward_pass(pictures[at : at + step]) for at in range(0, len(pictures), step))
        )
        maps = [part.maps for part in parts if part.maps is not None]
        if len(maps) < len(parts) or len({part.model for part in parts}) > 1:
            return DetectorAnswer(self._in_use, None)  # the model was exchanged in between
        return DetectorAnswer(parts[0].model, PhotoMaps.join(maps))

    @serve.batch(max_batch_size=9, batch_wait_timeout_s=0.004, batch_size_fn=_tenths_of_megapixels)
    async def _forward_pass(self, items: list[np.ndarray]) -> list[DetectorAnswer]:
        detector, model = self._detector, self._in_use  # of this batch, whatever is loaded meanwhile
        fitting = [item for item in items if item.shape[1:3] == model.input_size]
        if not fitting:
            return [DetectorAnswer(model, None) for _ in items]
        self._measures.pictures.observe(sum(len(item) for item in fitting))
        self._free.clear()
        try:
            maps = await asyncio.to_thread(detector.network_maps, np.concatenate(fitting))
        finally:
            self._free.set()
        answers, start = [], 0
        for item in items:
            if item.shape[1:3] != model.input_size:
                answers.append(DetectorAnswer(model, None))
                continue
            answers.append(DetectorAnswer(model, maps.part(start, start + len(item))))
            start += len(item)
        return answers

    def _take(self, source: str, detector: Detector) -> None:
        card = detector.card
        self._source = source
        self._detector = detector
        self._in_use = ModelInUse(card.name, card.fingerprint, card.input_size, detector.network.shows_depth)
        self._loaded_at = _now()
        height, width = card.input_size
        # never lowered: larger pictures for the model before this one may still wait
        self._largest = max(self._largest, ceil(10 * max(self._batch_megapixels, height * width / 1e6)))
        self._forward_pass.set_max_batch_size(self._largest)  # type: ignore[attr-defined]
        self._measures.took(card.name, card.fingerprint)


def _loaded(model: str, options: dict[str, Any]) -> Detector:
    detector = Detector.load(model, **options)
    # an engine may fail at its first pass only, and the first is slow: not on a client's time
    detector.network_maps(np.zeros((1, *detector.card.input_size, 3), np.uint8))
    return detector


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
