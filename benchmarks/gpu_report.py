"""What benchmarks/gpu.py prints and writes beside its figures: the table, and the machine that it was measured on."""

import json
import math
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from dbd_ray.hardware import describe_device

ROOT = Path(__file__).parents[1]
HEADS = {"images_per_s": "images/s", "peak_mib": "peak MiB"}  # the other columns are headed by their names

Row = dict[str, Any]


def table(rows: list[Row]) -> str:
    """Lay out rows as plain text."""
    names = list(rows[0])
    lines = [[HEADS.get(name, name) for name in names], *([_text(name, row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(padded)


def _text(name: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2g}" if name in ("difference", "allowed") else f"{value:.1f}"
    return "" if value is None else str(value)


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write facts as JSON, which has no numbers that are not finite: null stands for them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite(facts), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe(device: torch.device) -> dict[str, Any]:
    """Say on what, by what and how it was measured."""
    tf32 = {"convolutions": torch.backends.cudnn.allow_tf32, "matrix_products": torch.backends.cuda.matmul.allow_tf32}
    driver = _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "kind": describe_device(device),
        "memory_gib": torch.cuda.get_device_properties(device).total_memory / 2**30 if on_gpu else None,
        "driver": driver if on_gpu else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "torch": torch.__version__,
        "commit": _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"),
        "tf32": tf32,
        "cpus": os.cpu_count(),
    }


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None
