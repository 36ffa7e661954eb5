"""The endpoint's metrics, on Ray's Prometheus port beside Serve's own (each name there begins with ray_)."""

from typing import Any

from ray.serve.metrics import Counter, Gauge, Histogram

# Ray's annotations ask for tuples of one tag and lists of floats, its code takes any
_LATENCY_BOUNDARIES_MS = [5.0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000]
_PICTURES = [1.0, 2, 4, 8, 16, 32, 64]
_BY_ROUTE: Any = ("route", "status")
_BY_MODEL: Any = ("model", "fingerprint")


class GatewayMeasures:
    """Metrics of a gateway: requests, their time, and why photos were refused."""

    def __init__(self) -> None:
        self._requests = Counter("dbd_requests", description="Answered requests.", tag_keys=_BY_ROUTE)
        self._errors = Counter("dbd_errors", description="Refused requests and photos.", tag_keys=("reason",))
        self._latency = Histogram(
            "dbd_latency_ms",
            description="From a request's arrival at the gateway to its answer, milliseconds.",
            boundaries=_LATENCY_BOUNDARIES_MS,
            tag_keys=("route",),
        )

    def answered(self, route: str, status: int, latency_ms: float) -> None:
        """Count a request and its time.

        Args:
            route: One of the API's paths, never the path that a client wrote.
            status: HTTP status of the answer.
            latency_ms: Time from the request's arrival to its answer, ms.
        """
        self._requests.inc(tags={"route": route, "status": str(status)})
        self._latency.observe(latency_ms, tags={"route": route})

    def refused(self, reason: str) -> None:
        """Count a refused request, or one photo of a batch."""
        self._errors.inc(tags={"reason": reason})


class DetectorMeasures:
    """Metrics of a detector: sizes of batches, and the model in use."""

    def __init__(self) -> None:
        self.pictures = Histogram(
            "dbd_batch_pictures", description="Pictures of one forward pass.", boundaries=_PICTURES
        )
        self._model = Gauge(
            "dbd_model_info",
            description="1 for the model in use, 0 for former ones.",
            tag_keys=_BY_MODEL,
        )
        self._tags: dict[str, str] | None = None

    def took(self, model: str, fingerprint: str) -> None:
        """Report which model is in use from now on."""
        if self._tags:
            self._model.set(0, tags=self._tags)
        self._tags = {"model": model, "fingerprint": fingerprint[:16]}
        self.still_here()

    def still_here(self) -> None:
        """Report the model in use again: Ray drops gauges that are silent for a while."""
        if self._tags:
            self._model.set(1, tags=self._tags)
