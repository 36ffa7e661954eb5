"""An endpoint in the place of a detector: the photos of a batch are sent to it, its answers become the same columns."""

from typing import Any

from dbd_ray.client import FocusAnswer, FocusClient, FocusError, FocusRequestError
from dbd_ray.detection.columns import columns_of, failed_row, found_row
from dbd_ray.images.encode import encode_photo
from dbd_ray.library.look import Batch
from dbd_ray.names import Refinement

KEY_VARIABLE = "DBD_RAY_API_KEY"


def model_of(endpoint: str, *, api_key: str | None = None) -> str:
    """Ask an endpoint for its model's name@fingerprint.

    Args:
        endpoint: Its address.
        api_key: One of its keys, if it asks for them.

    Raises:
        ConfigError: The address is none.
        FocusRequestError: It does not answer, refuses the key, or is no endpoint of this kind.
    """
    with FocusClient(endpoint, api_key=api_key) as client:
        model = client.model()
    try:
        return f"{model['name']}@{model['fingerprint'][:16]}"
    except (KeyError, TypeError):
        raise FocusRequestError("unexpected_answer", f"{endpoint}: is no endpoint of dbd-ray") from None


class EndpointPredictor:
    """Adds `FocusPredictor`'s columns to batches of decoded photos by asking an endpoint; for `Dataset.map_batches`.

    Photos are sent as they were decoded, without loss. One that the endpoint refuses gets `error` and harms no other;
    an endpoint that does not answer, after all attempts of `FocusClient`, ends the run.

    Args:
        endpoint: Its address.
        api_key: One of its keys, if it asks for them.
        refine: See `Detector.detect`.
        tile: See `Detector.detect`.
    """

    def __init__(self, endpoint: str, *, api_key: str | None, refine: Refinement, tile: int) -> None:
        self.client = FocusClient(endpoint, api_key=api_key)
        self.refine: Refinement = refine
        self.tile = tile

    def __call__(self, batch: Batch) -> Batch:
        """Add the focus columns to rows with `image` (uint8 RGB H×W×3) and `error`.

        Raises:
            FocusRequestError: The endpoint does not answer.
        """
        fine = [number for number, error in enumerate(batch["error"]) if not error]
        photos = [encode_photo(batch["image"][number], format="png") for number in fine]
        answers = self.client.batch(photos, include="focus", refine=self.refine, tile=self.tile)
        found = dict(zip(fine, answers, strict=True))
        before = enumerate(batch["error"])
        rows = [_row(found[number]) if number in found else failed_row(str(error)) for number, error in before]
        return {**batch, **columns_of(rows)}


def _row(answer: FocusAnswer | FocusError) -> dict[str, Any]:
    if isinstance(answer, FocusAnswer):
        return found_row(answer.summary, answer.pictures["focus"])
    return failed_row(f"{answer.message} [{answer.reason}]")
