"""The summary of a focus map in a few numbers; without OpenCV, so that clients can import it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal["all_in_focus", "partial", "none_in_focus"]

ALL_SHARE = 0.97  # from this share of in-focus pixels on a photo is all_in_focus
NONE_SHARE = 0.02  # up to this share it is none_in_focus

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"kind": "focus_kind", "confidence": "focus_confidence"})
"""Names of today by those of the version before, which JSON and `index.csv` still have."""


@dataclass(frozen=True)
class SharpArea:
    """Bounding box and centroid of the in-focus pixels, in pixels of the photo.

    Attributes:
        left, top, right, bottom: Bounding box, right and bottom exclusive.
        centroid_x, centroid_y: Centre of mass.
    """

    left: int
    top: int
    right: int
    bottom: int
    centroid_x: float
    centroid_y: float


@dataclass(frozen=True)
class Summary:
    """A focus map in a few numbers.

    Attributes:
        focus_kind: Whether all, a part, or none of the photo is in focus.
        in_focus_fraction: Share of pixels with a focus of at least 0.5, in [0,1].
        sharp_area: Bounding box and centroid of these pixels; None where there are none.
        focus_confidence: Mean distance of the map from 0.5, scaled to [0,1]; low where the network was undecided.
        model: Name of the checkpoint.
        model_fingerprint: sha256 of its weights, hexadecimal.
    """

    focus_kind: Kind
    in_focus_fraction: float
    sharp_area: SharpArea | None
    focus_confidence: float
    model: str
    model_fingerprint: str

    @property
    def focus_model(self) -> str:
        """The checkpoint as columns name it: name@fingerprint, of this the first 16 digits."""
        return f"{self.model}@{self.model_fingerprint[:16]}"

    @property
    def kind(self) -> Kind:
        """The former name of `focus_kind`."""
        return self.focus_kind

    @property
    def confidence(self) -> float:
        """The former name of `focus_confidence`."""
        return self.focus_confidence

    def as_dict(self) -> dict[str, Any]:
        """Give the summary as nested dicts of plain numbers and strings, for JSON; former names stand there as well."""
        former = {old: getattr(self, new) for old, new in FORMER_NAMES.items()}
        return {**asdict(self), "focus_model": self.focus_model, **former}


def with_new_names(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give a summary's JSON object its names of today, whichever version wrote it."""
    return {FORMER_NAMES.get(name, name): value for name, value in summary.items()} | {
        name: summary[name] for name in FORMER_NAMES.values() if name in summary
    }


def kind_of(in_focus_fraction: float) -> Kind:
    """Name the kind of a photo by its share of in-focus pixels.

    Args:
        in_focus_fraction: Share of pixels in focus, in [0,1].
    """
    if in_focus_fraction >= ALL_SHARE:
        return "all_in_focus"
    return "none_in_focus" if in_focus_fraction <= NONE_SHARE else "partial"
