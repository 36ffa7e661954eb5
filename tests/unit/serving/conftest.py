"""The HTTP API in this process, with the detector beside it: what needs neither Ray nor its proxy."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from dbd_ray.config import ServeConfig, build
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.names import Refinement
from dbd_ray.serving.api import build_api
from dbd_ray.serving.keys import ApiKeys


class DetectorHere:
    """A detector without Serve."""

    def __init__(self, model: Path) -> None:
        self.detector = Detector.load(model, engine="eager")

    async def answer(
        self,
        read: Callable[[], np.ndarray],
        finish: Callable[[np.ndarray, FocusMap], Any],
        *,
        refine: Refinement = "guided",
        tile: int = 1,
    ) -> Any:
        photo = read()
        return finish(photo, self.detector.detect([photo], refine=refine, tile=tile)[0])

    async def model(self) -> dict[str, Any]:
        card = self.detector.card
        return {
            "name": card.name,
            "fingerprint": card.fingerprint,
            "source": "tiny",
            "loaded_at": "2026-01-01T00:00:00+00:00",
            "engine": self.detector.engine.name,
            "device": "cpu",
            "input_size": card.input_size,
            "has_depth": self.detector.network.shows_depth,
            "card": card.model_dump(mode="json"),
            "refused": None,
        }


class Counted:
    """What the gateway counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.reasons: Counter[str] = Counter()

    def answered(self, route: str, status: int, latency_ms: float) -> None:
        assert latency_ms >= 0
        self.requests[route, status] += 1

    def refused(self, reason: str) -> None:
        self.reasons[reason] += 1


@pytest.fixture(scope="session")
def here(tiny_model: Path) -> DetectorHere:
    return DetectorHere(tiny_model)


@pytest.fixture(scope="session")
def here_with_depth(tiny_depth_model: Path) -> DetectorHere:
    return DetectorHere(tiny_depth_model)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def client(here: DetectorHere, counted: Counted) -> Callable[..., TestClient]:
    """Make a client of an endpoint with some settings."""

    def make(settings: dict[str, Any] | None = None, keys: tuple[str, ...] = (), detector: Any = here) -> TestClient:
        config = build(ServeConfig, settings or {}, where="test")
        app = build_api(config, detector, ApiKeys(list(keys)), counted)  # type: ignore[arg-type]
        return TestClient(app, raise_server_exceptions=False)

    return make


@pytest.fixture(scope="session")
def photo_bytes(cuhk: Path) -> bytes:
    """A real photo as it lies on the disk."""
    return sorted((cuhk / "image").glob("*.jpg"))[0].read_bytes()
