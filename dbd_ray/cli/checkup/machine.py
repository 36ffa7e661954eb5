"""Checks of the machine: Python, processor, memory, GPU."""

import os
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import dbd_ray
from dbd_ray.cli.checkup.finding import Finding

GIB = 1 << 30
LEAST_GIB = 4  # a command with a Ray of its own, a detector and the photos in hand need about that
DRIVER = Path("/proc/driver/nvidia/version")


def find_python() -> Iterator[Finding]:
    """Tell versions of this package and of Python, and where they are."""
    place = Path(dbd_ray.__file__).parent
    yield Finding("dbd_ray", "ok", f"{dbd_ray.__version__} in {place}")
    yield Finding("Python", "ok", f"{platform.python_version()} ({sys.executable}), {platform.platform()}")


def find_processor() -> Iterator[Finding]:
    """Tell the processor, how many of its threads may be used, and what it multiplies fast."""
    import torch

    from dbd_ray.hardware import describe_device, usable_processors

    text = f"{describe_device(torch.device('cpu'))}, {usable_processors()} of {os.cpu_count()} usable"
    yield Finding("processor", "ok", text)


def find_memory() -> Iterator[Finding]:
    """Tell how much main memory the machine has."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    if whole < LEAST_GIB:
        yield Finding("memory", "note", f"{whole:.1f} GiB: Ray ends processes where it is full; take small batches")
    else:
        yield Finding("memory", "ok", f"{whole:.1f} GiB")


def find_gpu() -> Iterator[Finding]:
    """Tell which GPUs torch can use, and why it can use none."""
    import torch

    from dbd_ray.hardware import describe_device

    built = f"torch {version('torch')}"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()  # warns of a driver that is too old
    if usable:
        for number in range(torch.cuda.device_count()):
            device = torch.device("cuda", number)
            memory = torch.cuda.get_device_properties(device).total_memory / GIB
            yield Finding(f"GPU {number}", "ok", f"{describe_device(device)}, {memory:.0f} GiB, {built}")
    elif torch.version.cuda is None:
        if DRIVER.exists():
            yield Finding("GPU", "note", f"not used: {built} is for CPUs alone; install torch with CUDA")
        else:
            yield Finding("GPU", "ok", f"none ({built} is for CPUs alone)")
    elif DRIVER.exists():
        reason = " ".join(str(said[0].message).split()) if said else "torch gives no reason"
        yield Finding("GPU", "fault", f"there is an NVIDIA driver, but {built} cannot use it: {reason}")
    else:
        yield Finding("GPU", "ok", f"none, no NVIDIA driver is loaded ({built})")
