"""What more workers bring: images/s of several Ray Train workers ÷ those of one, and the efficiency.

Every worker has one thread and no GPU, and the batch is the same on any number of workers. The sides run in turn, each
in a process of its own, so that a machine whose speed drifts hits both; the first epoch of each is warm-up. Prints one
table and writes benchmarks/results/train_scaling.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dbd_ray.cli.session import local_or_cluster
from dbd_ray.config import PrepareConfig, TrainConfig, train_config

RESULTS = Path(__file__).parent / "results" / "train_scaling.json"


def main() -> None:
    """Measure and report; with --side, be one side of the measurement."""
    options = _options()
    if options.side:
        print(json.dumps(measure(_config(options.folder, options.side, options.batch))))
        return
    with tempfile.TemporaryDirectory() as folder:
        _prepare(folder, options.size, options.scenes)
        pairs = [
            {count: _run_side(count, folder, options.batch) for count in (1, options.workers)}
            for _ in range(options.pairs)
        ]
    ratios = [pair[options.workers]["images_per_s"] / pair[1]["images_per_s"] for pair in pairs]
    efficiency = statistics.median(ratios) / options.workers
    table = Table("pair", "1 worker, images/s", f"{options.workers} workers, images/s", "ratio", "waiting for rows")
    for number, (pair, ratio) in enumerate(zip(pairs, ratios, strict=True), 1):
        rates = [f"{pair[count]['images_per_s']:.2f}" for count in (1, options.workers)]
        waits = " and ".join(f"{pair[count]['wait_share']:.1%}" for count in (1, options.workers))
        table.add_row(str(number), *rates, f"{ratio:.3f}", waits)
    table.add_row("median", "", "", f"{statistics.median(ratios):.3f}", f"efficiency {efficiency:.3f}")
    Console().print(table)
    settings = {
        "size": options.size,
        "batch_size": options.batch,
        "scenes": options.scenes,
        "workers": options.workers,
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
    }
    options.out.parent.mkdir(exist_ok=True, parents=True)
    report = {**settings, "pairs": pairs, "median_ratio": statistics.median(ratios), "efficiency": efficiency}
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def measure(config: TrainConfig) -> dict[str, float]:
    """Images/s of a run's last epoch, and the share of it that the loop waited for its next batch."""
    from dbd_ray.training.trainer import train

    with local_or_cluster():
        last = train(config).history[-1]
    return {name: last[f"train/{name}"] for name in ("images_per_s", "wait_share")}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--workers", type=int, default=2, help="of the larger side")
    parser.add_argument("--size", type=int, default=320, help="pictures' height and width, px")
    parser.add_argument("--batch", type=int, default=8, help="photos per step, over all workers")
    parser.add_argument("--scenes", type=int, default=160, help="rendered pictures in an epoch")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the results")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def _prepare(folder: str, size: int, scenes: int) -> None:
    from dbd_ray.datasets.prepare import prepare_from

    with local_or_cluster():
        prepare_from(PrepareConfig(scenes=scenes, out=f"{folder}/data", size=(size, size), validation_fraction=0))


def _config(folder: str, workers: int, batch: int) -> TrainConfig:
    settings = {
        "name": f"workers-{workers}-{time.time_ns()}",
        "storage": f"{folder}/runs",
        "data": [f"{folder}/data"],
        "epochs": 2,
        "batch_size": batch,
        "network": {"backbone": "mobilenetv2_100", "reduction": 2},
        "workers": {"count": workers, "cpus": 1, "gpu": False},
    }
    return train_config(settings, where="benchmark")


def _run_side(workers: int, folder: str, batch: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", str(workers), "--folder", folder, "--batch", str(batch)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    measured: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
