"""Choice of device and number format by the hardware, each with its reason."""

import os
import platform
from pathlib import Path
from typing import NamedTuple

import torch

from dbd_ray.errors import ConfigError
from dbd_ray.names import PrecisionName


class Precision(NamedTuple):
    """Number format of forward and backward passes.

    Attributes:
        dtype: torch.float32, or torch.bfloat16 under autocast (weights stay float32).
        reason: Why it was chosen, for the log.
    """

    dtype: torch.dtype
    reason: str

    def autocast(self, device: torch.device) -> torch.autocast:
        """Make the autocast context of this format, which has no effect for float32."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def choose_training_precision(device: torch.device, requested: PrecisionName = "auto") -> Precision:
    """Choose the number format of training by what the device multiplies natively and computes reliably.

    Raises:
        ConfigError: bfloat16 was asked for where training in it is known to fail.
    """
    if device.type == "cpu":
        if requested == "bfloat16":
            raise ConfigError(
                "precision=bfloat16: on CPUs training in it went non-finite and its dilated convolutions crash in "
                "backward; use float32 (or auto), inference may still use bfloat16"
            )
        return Precision(torch.float32, "float32: bfloat16 training is unstable on CPUs")
    if requested == "float32":
        return Precision(torch.float32, "float32: as configured")
    supported = multiplies_bfloat16(device)
    if requested == "bfloat16":
        if not supported:
            raise ConfigError(f"precision=bfloat16: {torch.cuda.get_device_name(device)} has none; use float32")
        return Precision(torch.bfloat16, "bfloat16: as configured")
    name = torch.cuda.get_device_name(device)
    if supported:
        return Precision(torch.bfloat16, f"bfloat16: {name} multiplies it natively, and it needs no loss scaling")
    return Precision(torch.float32, f"float32: {name} has no native bfloat16")


def choose_device(requested: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device that exists.

    Raises:
        ConfigError: A GPU was asked for and there is none, or something other than a CPU or a CUDA GPU.
    """
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(requested)
    except RuntimeError:
        raise ConfigError(f"device={requested}: unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={requested}: {device.type} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"device={requested}: torch sees {torch.cuda.device_count()} GPU(s) here; use auto or cpu")
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies bfloat16 natively, so that it is faster than float32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def describe_device(device: torch.device) -> str:
    """Name a device as people know it, with what matters for speed."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} sm_{''.join(map(str, torch.cuda.get_device_capability(device)))}"
    kinds = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")
    found = torch.cpu.get_capabilities()
    kind = next((kind for kind in kinds if found.get(kind)), str(found.get("architecture", "unknown")))
    return f"{_processor_name()} ({kind})"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def engine_threads() -> int:
    """Count the threads for a network's pass: torch's, but no more than the processors that this process may use."""
    return max(1, min(torch.get_num_threads(), usable_processors()))


def usable_processors() -> int:
    """Count the processors that this process may use, by its affinity and by the limit of its cgroup (containers)."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affine, _cgroup_processors() or affine))


def _cgroup_processors() -> int | None:
    try:  # cgroup 2, as a container sees its own
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    try:  # cgroup 1
        quota_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return None if quota_us <= 0 else max(1, round(quota_us / period_us))
    except (OSError, ValueError, ZeroDivisionError):
        return None
