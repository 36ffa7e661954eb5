"""Ray Tune without output of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

OUTPUT_VARIABLE = "RAY_AIR_NEW_OUTPUT"


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Let Ray Tune print nothing: its newer output has a box and a hint at TensorBoard even with verbose=0."""
    before = os.environ.get(OUTPUT_VARIABLE)
    os.environ[OUTPUT_VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[OUTPUT_VARIABLE]
        if before is not None:
            os.environ[OUTPUT_VARIABLE] = before
