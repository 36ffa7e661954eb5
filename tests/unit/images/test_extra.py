"""Decoders that are extra packages: absent, or installed and broken."""

import pytest

from dbd_ray.errors import PhotoReason
from dbd_ray.images.extra import needs_extra

REASON: PhotoReason = "needs_extra_jxl"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'pillow_jxl'", name="pillow_jxl"), "pip install pillow-jxl-plugin (the"),
        (
            ImportError("libjxl.so.0: cannot open shared object file"),
            "installed but does not load (libjxl.so.0: cannot",
        ),
        (ModuleNotFoundError("No module named 'packaging'", name="packaging"), "does not load (No module named 'packa"),
    ],
)
def test_a_decoder_that_does_not_load_is_told_with_its_cause_and_not_as_absent(error: ImportError, told: str) -> None:
    found = needs_extra(error, "JPEG XL photos", "pillow-jxl-plugin", "jxl", REASON)
    assert found.reason == REASON and told in found.message
