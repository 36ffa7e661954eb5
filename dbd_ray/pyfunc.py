"""The MLflow flavour of registered models: encoded photos in, focus columns out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dbd_ray.detection.predictor import FocusPredictor
from dbd_ray.names import MAX_PIXELS, OUTPUT_COLUMNS

PHOTO_COLUMN = "image"
DEFAULTS: dict[str, Any] = {
    "device": "auto",
    "engine": "auto",
    "refine": "guided",
    "tile": 1,
    "max_pixels": MAX_PIXELS,
}
"""Options of `FocusPredictor` that `mlflow.pyfunc.load_model(…, model_config=…)` may change, with their defaults."""


class FocusModel:
    """The model that `mlflow.pyfunc.load_model` returns and `mlflow models serve` calls.

    Args:
        checkpoint: Local checkpoint folder.
        options: Keyword arguments of `FocusPredictor`.
    """

    def __init__(self, checkpoint: Path, options: Mapping[str, Any]) -> None:
        self._predictor = FocusPredictor(str(checkpoint), column=PHOTO_COLUMN, drop_photo=True, **options)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Find the focus in photos.

        Args:
            model_input: A column `image` of encoded photos (JPEG, PNG, …).
            params: Ignored; MLflow passes the parameters of the signature, which has none.

        Returns:
            One row per photo, in their order, with the columns of `FocusPredictor`; a photo that cannot be read has
            its reason in `error`.
        """
        found = self._predictor({PHOTO_COLUMN: model_input[PHOTO_COLUMN].to_numpy()})
        answer = pd.DataFrame({name: list(found[name]) for name in OUTPUT_COLUMNS})
        # NaN, which stands for no value, is nothing that JSON has
        return answer.astype(object).where(answer.notna(), None)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> FocusModel:
    return FocusModel(Path(path), {**DEFAULTS, **(model_config or {})})
