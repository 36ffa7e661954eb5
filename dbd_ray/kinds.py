"""Whether all, a part, or none of a photo is in focus: the published detectors' failure, answered and measured."""

from typing import Literal

Kind = Literal["all_in_focus", "partial", "none_in_focus"]

ALL_SHARE = 0.97  # of the pixels in focus: the whole photo is
NONE_SHARE = 0.02


def kind_of(in_focus_fraction: float) -> Kind:
    """Name the kind of a photo.

    Args:
        in_focus_fraction: Share of its pixels that are in focus, in [0,1].
    """
    if in_focus_fraction >= ALL_SHARE:
        return "all_in_focus"
    return "none_in_focus" if in_focus_fraction <= NONE_SHARE else "partial"
