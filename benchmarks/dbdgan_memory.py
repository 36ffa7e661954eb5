"""Memory of the second paper's teacher, forward and backward: attention in blocks beside the matrix of all pairs.

Every measurement is a process of its own, with one photo, float32, on the CPU: the most memory that it held, less what
it held before the pass. Prints a table and writes benchmarks/results/dbdgan_memory.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dbd_ray.checkpoints.authors import RELEASES
from dbd_ray.config import NetworkConfig
from dbd_ray.hardware import describe_device
from dbd_ray.models import attention, build_network

RESULTS = Path(__file__).parent / "results" / "dbdgan_memory.json"
GIB = 2**30
WAYS = {"in blocks": attention.BLOCK, "all pairs": 1 << 40}  # positions that look at all others at once


def main() -> None:
    """Measure each size both ways, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 640], help="Sides of the photo in pixels.")
    parser.add_argument("--limit-gib", type=float, default=20, help="Memory that a pass may take.")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_pass(int(options.one[0]), WAYS[options.one[1]], options.limit_gib)))
        return
    found = {f"{size}, {way}": _in_a_process(size, way, options.limit_gib) for size in options.sizes for way in WAYS}
    hardware = describe_device(torch.device("cpu"))
    table = Table("photo", "GiB", "s", title=f"dbdgan_teacher, forward and backward, {hardware}")
    for name, figures in found.items():
        held = f"{figures['gib']:.2f}" if figures else f"more than {options.limit_gib:g}"
        table.add_row(name, held, f"{figures['seconds']:.1f}" if figures else "")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"hardware": hardware, "passes": found}, indent=2) + "\n")


def _in_a_process(size: int, way: str, limit_gib: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", str(size), way, "--limit-gib", str(limit_gib)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "memory" not in done.stderr:
        raise RuntimeError(done.stderr)
    return {} if done.returncode else json.loads(done.stdout)


def _pass(size: int, block: int, limit_gib: float) -> dict[str, float]:
    attention.BLOCK = block
    network = build_network(NetworkConfig.model_validate(RELEASES["dbdgan_teacher"].network)).train()
    photo = torch.rand(1, 3, size, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (int(before + limit_gib * GIB), resource.RLIM_INFINITY))
    started = time.perf_counter()
    network(photo).focus_logits.mean().backward()
    seconds = time.perf_counter() - started
    return {"gib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / GIB, "seconds": seconds}


if __name__ == "__main__":
    main()
