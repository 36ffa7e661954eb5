"""Choice of device and number format by the hardware, each with its reason."""

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
    """Name the kind of a device, by which the measured speeds of engines are looked up."""
    if device.type == "cuda":
        return f"cuda sm_{''.join(map(str, torch.cuda.get_device_capability(device)))}"
    kinds = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")
    found = torch.cpu.get_capabilities()
    return f"cpu {next((kind for kind in kinds if found.get(kind)), str(found.get('architecture', 'unknown')))}"
