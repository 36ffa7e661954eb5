"""What Ray Train costs: images/s of our training loop ÷ those of a bare PyTorch loop.

Both train the same network on the same rows in the same batches with the same number of threads, each in a
process of its own, in turn, so that a machine whose speed drifts hits both. The first epoch of each is warm-up.
Prints one table and writes benchmarks/results/train_overhead.json.
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

RESULTS = Path(__file__).parent / "results" / "train_overhead.json"


def main() -> None:
    """Measure and report; with --side, be one side of the measurement."""
    options = _options()
    if options.side:
        measure = ray_side if options.side == "ray" else bare_side
        print(json.dumps({"images_per_s": measure(_config(options.folder, options.threads))}))
        return
    with tempfile.TemporaryDirectory() as folder:
        _prepare(folder, options.size)
        pairs = [
            {side: _run_side(side, folder, options.threads) for side in ("bare", "ray")} for _ in range(options.pairs)
        ]
    ratios = [pair["ray"] / pair["bare"] for pair in pairs]
    table = Table("pair", "bare loop, images/s", "Ray Train, images/s", "ratio")
    for number, (pair, ratio) in enumerate(zip(pairs, ratios, strict=True), 1):
        table.add_row(str(number), f"{pair['bare']:.2f}", f"{pair['ray']:.2f}", f"{ratio:.3f}")
    table.add_row("median", *["" for _ in range(2)], f"{statistics.median(ratios):.3f}")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    setting = {"size": options.size, "threads": options.threads, "cpus": os.cpu_count(), "torch": torch.__version__}
    RESULTS.write_text(
        json.dumps({**setting, "pairs": pairs, "median_ratio": statistics.median(ratios)}, indent=2) + "\n"
    )


def ray_side(config: TrainConfig) -> float:
    """Images/s of the last epoch of our loop in a Ray Train worker."""
    from dbd_ray.training.trainer import train

    with local_or_cluster():
        return train(config).history[-1]["train/images_per_s"]


def bare_side(config: TrainConfig) -> float:
    """Images/s of the last epoch of a plain PyTorch loop."""
    from dbd_ray.datasets.prepared import read_rows
    from dbd_ray.models import build_network
    from dbd_ray.training.losses import distillation_loss
    from dbd_ray.training.samples import EncodedRow, Window, epoch_order, rows_from_columns, train_batches

    torch.set_num_threads(round(config.workers.cpus))
    table = read_rows(config.data[0], "train", columns=EncodedRow._fields)
    rows = rows_from_columns(table.to_pydict())
    torch.manual_seed(config.seed)
    network = build_network(config.network).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.optimizer.lr)
    rate = 0.0
    for epoch in range(config.epochs):
        order = epoch_order(rows, seed=config.seed, epoch=epoch)
        batches = train_batches(
            [Window(rows, order)], batch_size=config.batch_size, config=config.augment, seed=config.seed, epoch=epoch
        )
        started, seen = time.perf_counter(), 0
        for batch in batches:
            photos = network.normalize(batch.photos).contiguous(memory_format=torch.channels_last)
            terms = distillation_loss(network(photos), batch.focus, batch.depth, batch.has_depth, config.objective)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            seen += len(batch.photos)
        rate = seen / (time.perf_counter() - started)
    return rate


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--size", type=int, default=320, help="pictures' height and width, px")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of either side")
    parser.add_argument("--side", choices=("ray", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def _prepare(folder: str, size: int) -> None:
    from dbd_ray.datasets.prepare import prepare_from

    with local_or_cluster():
        prepare_from(PrepareConfig(scenes=160, out=f"{folder}/data", size=(size, size), validation_fraction=0))


def _config(folder: str, threads: int) -> TrainConfig:
    settings = {
        "name": f"ray-{time.time_ns()}",
        "storage": f"{folder}/runs",
        "data": [f"{folder}/data"],
        "epochs": 2,
        "network": {"backbone": "mobilenetv2_100", "reduction": 2},
        # neither side averages weights or clips: what is compared is the loop, not the recipe
        "ema_decay": None,
        "optimizer": {"clip_norm": None},
        "workers": {"count": 1, "cpus": threads},
    }
    return train_config(settings, where="benchmark")


def _run_side(side: str, folder: str, threads: int) -> float:
    command = [sys.executable, __file__, "--side", side, "--folder", folder, "--threads", str(threads)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return float(json.loads(finished.stdout.splitlines()[-1])["images_per_s"])


if __name__ == "__main__":
    main()
