"""The whole job in miniature, for `make demo`.

First what comes with the package, on a picture that comes with it, in seconds; then pictures → prepared data →
network → report and MLflow → endpoint.
"""

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.torch import save_file

from dbd_ray.cli.console import show_progress, show_training
from dbd_ray.cli.session import local_or_cluster
from dbd_ray.client import FocusClient
from dbd_ray.config import EvaluateConfig, PredictConfig, PrepareConfig, ServeConfig, TrainConfig, train_config
from dbd_ray.datasets.prepare import prepare_from
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.files import predict_files
from dbd_ray.errors import DbdRayError
from dbd_ray.evaluation.run import evaluate
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask
from dbd_ray.names import F_BETA, MAE, Split
from dbd_ray.serving.local import endpoint
from dbd_ray.summary import Summary
from dbd_ray.training.trainer import train

RUNS = Path("runs")
OUT = RUNS / "demo"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "eggs.jpg"
SAME = 0.005  # of the share in focus: engines may round differently
MARK = OUT / "made-by-make-demo"
SPLITS: tuple[Split, Split] = ("train", "test")
PACKAGED = "lite"
SCENE_EPOCHS, PHOTO_EPOCHS = 5, 8
console = Console()


def main() -> None:
    """Run the demo from the start; an earlier one's folder is replaced."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it lists the tables that it makes
    options = _options()
    _clear()
    _look_at_a_picture()
    data = str(OUT / "data")
    with local_or_cluster():
        _step(1, f"preparing {options.data}" if options.data else f"rendering {options.scenes} thin-lens scenes")
        with show_progress("      photos" if options.data else "      scenes") as advance:
            info = prepare_from(_prepare_config(options, data), on_row=advance)
        counts = ", ".join(f"{count} {split}" for split, count in sorted(info.rows.items()))
        console.print(f"      {counts} pictures of {options.size}×{options.size} px", highlight=False)
        config = _train_config(options, data, has_depth=info.depth_rows > 0)
        _step(2, f"training the depth-distillation network, {config.epochs} epochs, two Ray Train workers")
        with show_training() as on_event:
            trained = train(config, on_event=on_event)
    _step(3, "evaluating on pictures that training has not seen")
    with show_progress("      photos") as advance:
        found = evaluate(
            EvaluateConfig(model=trained.folder, prepared=data, out=str(OUT), storage=str(RUNS)), on_photo=advance
        )
    _step(4, "serving it, and asking over HTTP about one of them")
    summary = _serve_and_ask(trained.folder, data)
    sharp = f"{summary.in_focus_fraction:.0%} in focus ({summary.focus_kind})"
    console.print(f"      answered as the detector does in this process: {sharp}", highlight=False)
    mae, f = found.metrics[MAE], found.metrics[F_BETA]
    blind = _blind_mae(data)
    told = f"MAE {mae:.3f} (an answer that ignores the pictures has {blind:.3f}), F {f:.3f}"
    console.print(f"\n{told}. This is a miniature: README.md says how to train in earnest.", soft_wrap=True)
    console.print(f"Report:  {found.files['html'].absolute()}", soft_wrap=True)
    console.print(f"Model:   {Path(trained.folder).absolute()}", soft_wrap=True)
    console.print(f"MLflow:  .venv/bin/mlflow ui --backend-store-uri {quote(trained.tracking_uri)}", soft_wrap=True)
    console.print("         and open http://127.0.0.1:5000", highlight=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder in CUHK layout (image/, gt/, test.txt) instead of rendered scenes")
    parser.add_argument("--weights", help=".safetensors of MobileNetV2 trained on ImageNet, to start from")
    parser.add_argument("--scenes", type=int, default=320, help="how many to render")
    parser.add_argument("--size", type=int, default=128, help="height and width of the pictures, px")
    parser.add_argument("--epochs", type=int, help=f"default {SCENE_EPOCHS}, with --data {PHOTO_EPOCHS}")
    return parser.parse_args()


def _clear() -> None:
    if OUT.exists() and not MARK.exists():
        raise DbdRayError(f"{OUT}: was not made by this demo, which would replace it; rename or delete that folder")
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    MARK.touch()


def _look_at_a_picture() -> None:
    _step(0, f"the packaged model {PACKAGED} looks at {PICTURE.name}")
    started = time.monotonic()
    config = PredictConfig(out=OUT / "first", save=("focus", "overlay"))
    (found,) = predict_files(Detector.load(PACKAGED), [PICTURE], config)
    if found.summary is None:
        raise DbdRayError(f"{PICTURE}: {found.error}")
    told = f"{found.summary.in_focus_fraction:.0%} in focus ({found.summary.focus_kind})"
    seconds = time.monotonic() - started
    console.print(f"      {told}, after {seconds:.0f} s; in white or in colour:", highlight=False)
    for file in found.files:
        console.print(f"      {file.absolute()}", soft_wrap=True, highlight=False)


def _prepare_config(options: argparse.Namespace, out: str) -> PrepareConfig:
    size = (options.size, options.size)
    if options.data:
        return PrepareConfig(root=options.data, layout="cuhk", out=out, size=size)
    return PrepareConfig(scenes=options.scenes, out=out, size=size, test_fraction=0.15, seed=0)


def _train_config(options: argparse.Namespace, data: str, *, has_depth: bool) -> TrainConfig:
    network: dict[str, Any] = {"depth": has_depth}
    if options.weights:
        network |= {
            "backbone": "mobilenetv2_100",
            "backbone_weights": options.weights,
            "backbone_options": {"pad_type": "same"},
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        }
    else:
        network |= _packaged_backbone(OUT / "backbone.safetensors")
    settings: dict[str, Any] = {
        "name": OUT.name,
        "storage": str(RUNS),
        "data": [data],
        "epochs": options.epochs or (PHOTO_EPOCHS if options.data else SCENE_EPOCHS),
        "batch_size": 8,
        "network": network,
        "objective": {"depth_weight": 0.1 if has_depth else 0},
        "optimizer": {"lr": 2e-3, "backbone_lr_scale": 0.3},
        # a run of few steps: averages over tens of them, and changes of the pictures would cost more than they give
        "ema_decay": 0.95,
        "augment": {"colour": 0.0, "gray_probability": 0.0, "jpeg_probability": 0.0},
        "workers": {"count": 2, "cpus": 1},
        "registered_model": None,  # a miniature is no candidate
    }
    return train_config(settings, where="demo")


def _packaged_backbone(file: Path) -> dict[str, Any]:
    """Write the backbone of the packaged model, with which a network learns in a fraction of the time."""
    detector = Detector.load(PACKAGED)
    save_file(detector.network.encoder.features.state_dict(), file)
    settings = detector.card.network
    return {
        "backbone": settings.backbone,
        "backbone_weights": str(file),
        "backbone_options": settings.backbone_options,
        "mean": detector.card.mean,
        "std": detector.card.std,
    }


def _serve_and_ask(model: str, data: str) -> Summary:
    photo = read_rows(data, "test", columns=["image"])["image"][0].as_py()
    with (
        local_or_cluster(),
        endpoint(ServeConfig(model=model), port=0) as url,
        FocusClient(url) as client,
    ):
        answered = client.focus(photo).summary
    expected = Detector.load(model).detect([decode_photo(photo)])[0].summary
    if abs(answered.in_focus_fraction - expected.in_focus_fraction) > SAME:
        raise DbdRayError(f"the endpoint says {answered}, the detector {expected}: report this as a fault of dbd_ray")
    return answered


def _masks(data: str, split: Split) -> list[bytes]:
    masks: list[bytes] = read_rows(data, split, columns=["mask"])["mask"].to_pylist()
    return masks


def _blind_mae(data: str) -> float:
    """Give the MAE on the test pictures of one map for all: the median of the training pictures at each pixel."""
    train, test = (
        np.stack([decode_mask(mask, polarity="focus") for mask in _masks(data, split)]) / 255 for split in SPLITS
    )
    return float(np.abs(test - np.median(train, axis=0)).mean())


def _step(number: int, what: str) -> None:
    console.print(f"[bold]\\[{number}/4][/bold] {what}")


if __name__ == "__main__":
    try:
        main()
    except DbdRayError as error:
        sys.exit(f"error: {error}")
