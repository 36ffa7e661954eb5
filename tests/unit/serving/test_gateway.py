"""Promises of the gateway about memory between photos."""

import platform
import subprocess
import sys

import pytest

_WORK = """
import resource
import threading

import numpy as np

from dbd_ray.serving.gateway import keep_freed_memory

if {keep}:
    keep_freed_memory()


def photos():
    global before
    for number in range(40):
        if number == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        maps = [np.ones(2**20, np.float32) for _ in range(6)]  # of four MiB each
        del maps


thread = threading.Thread(target=photos)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(*, keep: bool) -> int:
    code = _WORK.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_memory_of_photos_is_kept_for_the_next_ones() -> None:
    assert _page_faults(keep=True) < _page_faults(keep=False) / 10
