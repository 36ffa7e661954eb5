"""What benchmarks/gpu.py measures, one function for each kind of cell of its table."""

import json
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from dbd_ray.checkpoints.authors import RELEASES, Architecture, import_authors
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.config import NetworkConfig, train_config
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.engines import load_engine, predict_focus
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.models import FocusNetwork, build_network
from dbd_ray.names import EngineName, PrecisionName
from dbd_ray.training.learner import make_learner
from dbd_ray.training.loop import train_step
from dbd_ray.training.samples import EncodedRow, Window, train_batches

LITE, PAPER, SMALL = "lite", "resnext101", "mobilenetv2_035"
SCENES = 8  # rendered once; larger batches repeat them
# float32 without TF32: only the order of sums differs, and a map's slope is at most a quarter of a logit's
EXACT_MAX = 1e-3
# what the engines promise, see tests/contract/test_engines.py; TF32 rounds less than bfloat16 does
ROUNDED_MEAN = 1e-2
# of a golden output's largest value; CPUs keep 1e-4, cuDNN's faster algorithms round more
REFERENCE_RELATIVE = 1e-3


class Bench(NamedTuple):
    """What all cells share.

    Attributes:
        device: Where to measure.
        photos: uint8 N×3×H×W RGB of rendered scenes, in main memory.
        rows: The same scenes as rows of a prepared dataset.
        seconds: How long one speed is measured at least.
        quick: A small backbone stands for ResNeXt-101.
    """

    device: torch.device
    photos: Tensor
    rows: tuple[EncodedRow, ...]
    seconds: float
    quick: bool

    @property
    def networks(self) -> tuple[str, ...]:
        return (LITE, SMALL if self.quick else PAPER)


class Measured(NamedTuple):
    """What came of one cell.

    Attributes:
        images_per_s: Speed, or None.
        difference: Between two outputs, or None.
        allowed: The largest difference that is none.
        peak_mib: Peak of the device's memory, where the cell counts it itself.
        note: What the difference is, or what else there is to say.
    """

    images_per_s: float | None = None
    difference: float | None = None
    allowed: float | None = None
    peak_mib: float | None = None
    note: str = ""


class Skipped(Exception):
    """A cell that cannot be measured here; the message is the reason."""


def make_bench(device: torch.device, *, size: int, seconds: float, quick: bool) -> Bench:
    """Render the scenes that everything is measured on: painted ones, always the same."""
    config = SceneConfig(size=(size, size))
    scenes = [render_scene(index, seed=0, config=config) for index in range(SCENES)]
    rows = tuple(
        EncodedRow(
            id=f"scene-{index}",
            source="rendered",
            image=encode_photo(scene.photo, quality=95),
            mask=encode_mask(scene.focus),
            depth=encode_depth(scene.depth),
        )
        for index, scene in enumerate(scenes)
    )
    photos = torch.from_numpy(np.stack([scene.photo for scene in scenes])).permute(0, 3, 1, 2).contiguous()
    return Bench(device, photos, rows, seconds, quick)


def golden_maps(bench: Bench, *, tf32: bool) -> Measured:
    """Compare the packaged model's maps in float32 on the device with those on the CPU."""
    network = _network(LITE)
    expected = predict_focus(network, bench.photos).focus
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
        engine = load_engine(network, input_size=_size(bench), device=bench.device, engine="eager")
        errors = (engine(bench.photos).focus - expected).abs()
    if tf32:
        return Measured(difference=float(errors.mean()), allowed=ROUNDED_MEAN, note="mean difference to the CPU")
    return Measured(difference=float(errors.max()), allowed=EXACT_MAX, note="largest difference to the CPU")


def golden_reference(bench: Bench, folder: Path, architecture: str) -> Measured:
    """Compare a released network, its weights filled by rule, with what its authors' code gave."""
    shapes = json.loads((folder / f"state_dict_depth_distillation_{architecture}.json").read_text())
    golden = np.load(folder / f"golden_depth_distillation_{architecture}.npz")
    weights = {name: torch.from_numpy(_filled(name, shape)) for name, shape in shapes.items()}
    network, _ = import_authors(weights, cast(Architecture, architecture))
    network = network.to(bench.device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        output = network(torch.from_numpy(golden["input"]).to(bench.device))
    ours = {f"defocus_{i}": one for i, one in enumerate((output.focus_logits, *output.side_focus_logits))}
    ours |= {f"depth_{i}": one for i, one in enumerate((output.depth, *output.side_depth))}
    worst = max(
        float(np.abs(one.cpu().numpy() - golden[name]).max() / np.abs(golden[name]).max()) for name, one in ours.items()
    )
    note = "largest difference to the authors' code, of the largest value"
    return Measured(difference=worst, allowed=REFERENCE_RELATIVE, note=note)


def engine_parity(bench: Bench, network: str, engine: EngineName) -> Measured:
    """Compare an engine's maps with those of the engine "eager", both on the device."""
    built = _network(network)
    run = load_engine(built, input_size=_size(bench), device=bench.device, engine=engine)
    return _parity(bench, built, run(bench.photos).focus)


def inference_speed(bench: Bench, network: str, engine: EngineName, batch: int) -> Measured:
    """Measure an engine from uint8 photos in main memory to their maps there."""
    run = load_engine(_network(network), input_size=_size(bench), device=bench.device, engine=engine)
    photos = bench.photos[torch.arange(batch) % len(bench.photos)]
    return Measured(images_per_s=batch / _seconds(bench, lambda: run(photos)))


def compiled_engine(bench: Bench, network: str, batch: int) -> Measured:
    """Measure the engine "compiled", its speed and its difference to the engine "eager", by one compilation."""
    built = _network(network)
    run = load_engine(built, input_size=_size(bench), device=bench.device, engine="compiled")
    photos = bench.photos[torch.arange(batch) % len(bench.photos)]
    seconds = _seconds(bench, lambda: run(photos))
    peak_mib = peak_memory_mib(bench.device)  # before the engine "eager" adds its own
    several = bench._replace(photos=photos)
    return _parity(several, built, run(photos).focus)._replace(images_per_s=batch / seconds, peak_mib=peak_mib)


def training_speed(bench: Bench, network: str, precision: PrecisionName, batch: int) -> Measured:
    """Measure the training loop's step: forward, loss, backward, clipping, AdamW, averaging of weights.

    Raises:
        ConfigError: The device does not train in this precision.
    """
    described = _config(network)
    settings = {
        **{"name": "gpu", "data": ["memory"], "epochs": 1, "batch_size": batch, "precision": precision},
        "network": described.model_dump(),
        "objective": {"depth_weight": 0.1 if described.depth else 0.0},
    }
    config = train_config(settings, where="benchmark")
    torch.manual_seed(0)
    learner = make_learner(config, build_network(config.network), steps_per_epoch=1000, device=bench.device)
    learner.objective.train()
    window = Window(bench.rows, np.arange(batch) % len(bench.rows))
    pin = bench.device.type == "cuda"
    (rows,) = train_batches([window], batch_size=batch, config=config.augment, seed=0, epoch=0, pin=pin)
    return Measured(images_per_s=batch / _seconds(bench, lambda: train_step(learner, rows)))


def peak_memory_mib(device: torch.device) -> float | None:
    """Peak of a GPU's memory that tensors took since it was last reset, MiB; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def _parity(bench: Bench, network: FocusNetwork, found: Tensor) -> Measured:
    expected = load_engine(network, input_size=_size(bench), device=bench.device, engine="eager")(bench.photos).focus
    difference = float((found - expected).abs().mean())
    return Measured(difference=difference, allowed=ROUNDED_MEAN, note="mean difference to eager")


def _seconds(bench: Bench, run: Callable[[], object]) -> float:
    """Median time of a call; the first one prepares."""
    times: list[float] = []
    while len(times) < 3 or sum(times[1:]) < bench.seconds:
        started = time.perf_counter()
        run()
        if bench.device.type == "cuda":
            torch.cuda.synchronize(bench.device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _config(network: str) -> NetworkConfig:
    if network == LITE:
        return load_checkpoint(packaged_models()[LITE])[1].network
    if network == PAPER:
        return NetworkConfig.model_validate(RELEASES["resnext101"].network)
    return NetworkConfig(backbone=network, reduction=8)


def _network(network: str) -> FocusNetwork:
    """The packaged network, or one of random weights, on the CPU in evaluation mode."""
    if network == LITE:
        return load_checkpoint(packaged_models()[LITE])[0]
    torch.manual_seed(0)
    return build_network(_config(network)).eval()


def _size(bench: Bench) -> tuple[int, int]:
    height, width = bench.photos.shape[-2:]
    return height, width


def _filled(name: str, shape: list[int]) -> np.ndarray:
    """One tensor by the rule that the golden outputs were made with."""
    if name.endswith("num_batches_tracked"):
        return np.array(0)
    noise: np.ndarray = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + np.float32(0.1) * np.abs(noise)
    if name.endswith(("running_mean", ".bias")):
        return np.float32(0.05) * noise
    if len(shape) == 1:
        return 1 + np.float32(0.1) * noise
    return noise / np.float32(np.sqrt(np.prod(shape[1:])))
