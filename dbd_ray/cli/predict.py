"""The command that detects focus in photo files: `predict`."""

from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from dbd_ray.cli.console import say, show_predictions, show_progress
from dbd_ray.cli.options import Model, given, only_packaged
from dbd_ray.config import PredictConfig, build
from dbd_ray.names import MOST_TILES


def predict(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Model = None,
    save: Annotated[str, typer.Option(help="Which results: of focus,overlay,depth,json.")] = "focus,overlay,json",
    refine: Annotated[str, typer.Option(help="guided or bilinear.")] = "guided",
    tile: Annotated[
        int,
        typer.Option(min=1, max=MOST_TILES, help="Look at so many tiles along the longer side: finds small subjects."),
    ] = 1,
    polarity: Annotated[str, typer.Option(help="What white means in the focus maps: focus or blur.")] = "focus",
    batch_size: Annotated[int, typer.Option(min=1, help="Photos per forward pass.")] = 8,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Refuse photos of more pixels; default 160 million (endpoints: 64, for they have several in memory).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are no results of the same photo, too.")
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Look into folders below the given ones too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, eager, fused, compiled, onnx or openvino.")] = "auto",
) -> None:
    """Find what is in focus in photos.

    dbd-ray predict *.jpg --out focus --save focus,overlay,json
    """
    options = given(
        out=out,
        model=model,
        save=save,
        refine=refine,
        tile=tile,
        polarity=polarity,
        batch_size=batch_size,
        max_pixels=max_pixels,
        force=force,
        device=device,
        engine=engine,
    )
    settings = build(PredictConfig, options, where="predict")
    from dbd_ray.detection.find_photos import find_photos

    found = find_photos(photos, recursive=recursive)  # a wrong path need not wait for torch
    from dbd_ray.detection.detector import Detector
    from dbd_ray.detection.files import predict_files

    detector = Detector.load(settings.model or only_packaged(), device=settings.device, engine=settings.engine)
    number = count(1)
    with show_progress("photos") as advance:
        done = predict_files(
            detector, found.photos, settings, on_photo=lambda _: advance(next(number), len(found.photos))
        )
    show_predictions(done, out)
    if found.other_files:
        say(f"other files passed over: {len(found.other_files)} (hidden, results, no photo's suffix)", aside=True)
    if found.folders:
        why = "hidden, links" if recursive else "--recursive looks into them"
        say(f"subfolders passed over: {len(found.folders)} ({why})", aside=True)
    if any(one.error for one in done):
        raise SystemExit(1)
