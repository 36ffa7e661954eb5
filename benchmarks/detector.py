"""How fast the detector is: frames/s of every engine, beside the paper's own network and the machine's matrix rate.

A frame is one forward pass over a photo at network size, from uint8 pixels in memory to the focus map in memory.
Engines take turns, so that a machine whose speed drifts hits all. Prints three tables, and how close `engine="auto"`
comes to the fastest when it has to measure anew, and writes benchmarks/results/detector.json.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast
from unittest import mock

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from dbd_ray.checkpoints.authors import RELEASES
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.config import NetworkConfig
from dbd_ray.engines import Engine, installed_engines, load_engine
from dbd_ray.engines.torch_engine import fused_function
from dbd_ray.hardware import choose_device, describe_device
from dbd_ray.images.decode import decode_photo
from dbd_ray.models import FocusNetwork, build_network
from dbd_ray.names import EngineName

RESULTS = Path(__file__).parent / "results"
PAPER = "paper's network (ResNeXt-101, float32)"
PHOTOS = 8
SECONDS = 2.0  # of one measurement
MATRIX_SIDE = 2048


def main() -> None:
    """Measure and report."""
    options = _options()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    device = choose_device(options.device)
    network, card = load_checkpoint(packaged_models().get(options.model, Path(options.model)))
    network.eval()
    photos = _photos(options.photos, card.input_size)
    names = [name for name in installed_engines(device) if name != "compiled" or options.compiled]
    engines: dict[str, Engine] = {
        name: load_engine(network, input_size=card.input_size, device=device, engine=cast(EngineName, name))
        for name in names
    }
    paper = build_network(NetworkConfig.model_validate(RELEASES["resnext101"].network)).eval()
    reference = load_engine(paper, input_size=card.input_size, device=device, engine="eager")

    rounds = [_round(engines, reference, photos) for _ in range(options.rounds)]
    speeds = {name: {size: _middle(rounds, name, size) for size in ("1", str(PHOTOS))} for name in rounds[0]}
    expected = engines["eager"](photos).focus
    differences = {name: float((engine(photos).focus - expected).abs().mean()) for name, engine in engines.items()}
    chosen = [_chosen(network, card.input_size, device) for _ in range(options.rounds)]
    rate = _matrix_rate(device)
    parts = _parts(network, photos, device)
    figures = {
        "model": card.name,
        "parameters": card.parameters,
        "hardware": describe_device(device),
        "threads": options.threads,
        "frames_per_s": speeds,
        "mean_difference_to_eager": differences,
        "auto": chosen,
        "matrix_gflops": rate,
        "parts": parts,
        "rounds": rounds,
    }
    _show(figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "detector.json").write_text(json.dumps(figures, indent=2) + "\n")


def _chosen(network: FocusNetwork, input_size: tuple[int, int], device: torch.device) -> str:
    with tempfile.TemporaryDirectory() as nothing_kept, mock.patch.dict(os.environ, DBD_RAY_CACHE=nothing_kept):
        return load_engine(network, input_size=input_size, device=device).name


def _round(engines: dict[str, Engine], reference: Engine, photos: torch.Tensor) -> dict[str, dict[str, float]]:
    found = {}
    for name, engine in {**engines, PAPER: reference}.items():
        found[name] = {str(size): size / _seconds(partial(engine, photos[:size])) for size in (1, PHOTOS)}
    return found


def _seconds(run: Callable[[], object]) -> float:
    run()  # the first one prepares
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _middle(rounds: list[dict[str, dict[str, float]]], name: str, size: str) -> float:
    return statistics.median(found[name][size] for found in rounds)


def _matrix_rate(device: torch.device) -> dict[str, float]:
    """Rate of a large matrix product, 10⁹ operations/s, a multiplication and an addition being two."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        one = torch.ones(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype, device=device)
        seconds = _seconds(partial(_square_corner, one))
        found[str(dtype).removeprefix("torch.")] = 2 * MATRIX_SIDE**3 / seconds / 1e9
    return found


def _square_corner(matrix: torch.Tensor) -> float:
    return (matrix @ matrix)[0, 0].item()


@torch.inference_mode()
def _parts(network: FocusNetwork, photos: torch.Tensor, device: torch.device) -> dict[str, dict[str, float]]:
    """Operations and time of each part of the network, by the engine "fused", whose layers can be told apart."""
    function = fused_function(network, device)
    named = {name: module for name, module in function.named_modules() if _is_part(name)}
    given = photos.to(device)
    with FlopCounterMode(function, display=False) as counter:
        function(given)
    counts = counter.get_flop_counts()
    operations = {name: sum(counts.get(f"FocusFunction.{name}", {}).values()) / len(photos) for name in named}
    seconds = dict.fromkeys(named, 0.0)
    started: dict[str, float] = {}
    for name, module in named.items():
        module.register_forward_pre_hook(lambda *_, name=name: started.update({name: time.perf_counter()}))
        module.register_forward_hook(
            lambda *_, name=name: seconds.update({name: seconds[name] + time.perf_counter() - started[name]})
        )
    passes = 20
    for _ in range(passes):
        function(given)
    return {name: {"mflop": operations[name] / 1e6, "ms": seconds[name] * 1e3 / passes / len(photos)} for name in named}


def _is_part(name: str) -> bool:
    parts = name.split(".")
    if name.startswith("network.encoder.features."):
        return len(parts) == (5 if parts[3] == "blocks" else 4) and parts[3] in ("blocks", "conv_stem")
    return name.startswith("network.levels.") and len(parts) == 3


def _show(figures: dict[str, object]) -> None:
    console = Console()
    speeds, differences = figures["frames_per_s"], figures["mean_difference_to_eager"]
    assert isinstance(speeds, dict) and isinstance(differences, dict)
    table = Table("engine", "batch 1", f"batch {PHOTOS}", "× the paper's", "mean difference to eager")
    for name, fps in speeds.items():
        times = fps[str(PHOTOS)] / speeds[PAPER][str(PHOTOS)]
        difference = f"{differences[name]:.5f}" if name in differences else ""
        table.add_row(name, f"{fps['1']:.1f}", f"{fps[str(PHOTOS)]:.1f}", f"{times:.0f}", difference)
    console.print(f"{figures['model']} on {figures['hardware']}, {figures['threads']} threads, frames/s")
    console.print(table)
    chosen = figures["auto"]
    assert isinstance(chosen, list)
    best = max(speeds[name][str(PHOTOS)] for name in differences)
    shares = ", ".join(f"{name} ({speeds[name][str(PHOTOS)] / best:.0%})" for name in chosen)
    console.print(f"auto, measuring anew each time, took (share of the fastest engine's speed): {shares}")
    rate, parts = figures["matrix_gflops"], figures["parts"]
    assert isinstance(rate, dict) and isinstance(parts, dict)
    table = Table("part (engine fused)", "MFLOP a photo", "ms a photo", "share of the matrix rate")
    total = {"mflop": sum(p["mflop"] for p in parts.values()), "ms": sum(p["ms"] for p in parts.values())}
    for name, part in {**parts, "all of these": total}.items():
        share = part["mflop"] / part["ms"] / max(rate.values()) if part["ms"] else 0.0
        table.add_row(name.removeprefix("network."), f"{part['mflop']:.1f}", f"{part['ms']:.2f}", f"{share:.0%}")
    console.print("matrix rate: " + ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in rate.items()))
    console.print(table)


def _photos(folder: str, size: tuple[int, int]) -> torch.Tensor:
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() == ".jpg")[:PHOTOS]
    pixels = np.stack([decode_photo(file.read_bytes(), target_size=size) for file in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite", help="packaged model or checkpoint folder")
    parser.add_argument("--photos", default="../shared/data/cuhk/image", help="folder of JPEG photos")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile, which takes minutes to start")
    return parser.parse_args()


if __name__ == "__main__":
    main()
