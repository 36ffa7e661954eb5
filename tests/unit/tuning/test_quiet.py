"""Ray Tune prints nothing while a study runs."""

import os

import pytest
from ray.tune.experimental.output import get_air_verbosity

from dbd_ray.tuning.quiet import OUTPUT_VARIABLE, quiet_tune


@pytest.mark.parametrize("before", [None, "1"])
def test_ray_tune_has_no_output_of_its_own_while_a_study_runs(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(OUTPUT_VARIABLE, before)
    assert get_air_verbosity(0) is not None, "which prints the box"
    with quiet_tune():
        assert get_air_verbosity(0) is None
    assert os.environ.get(OUTPUT_VARIABLE) == before
