"""The command that detects focus in photo files: `predict`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from dbd_ray.cli.console import say, show_progress
from dbd_ray.cli.options import Model, given, only_packaged
from dbd_ray.cli.predictions import show_passed_over, show_predictions
from dbd_ray.config import PredictConfig, build
from dbd_ray.names import MOST_TILES


def predict(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Model = None,
    save: Annotated[str, typer.Option(help="Which results: of focus,overlay,mask,depth,json.")] = "focus,overlay,json",
    refine: Annotated[str, typer.Option(help="guided or bilinear.")] = "guided",
    tile: Annotated[
        int,
        typer.Option(min=1, max=MOST_TILES, help="Look at so many tiles along the longer side: finds small subjects."),
    ] = 1,
    polarity: Annotated[str, typer.Option(help="What white means in focus maps and masks: focus or blur.")] = "focus",
    threshold: Annotated[float, typer.Option(help="Of masks: from this focus on a pixel is white, up to 1.")] = 0.5,
    margin: Annotated[
        int, typer.Option(help="Of masks: what is in focus grows by so many px; it shrinks below 0.")
    ] = 0,
    layout: Annotated[
        str | None, typer.Option(help="Of masks: named for colmap or nerfstudio, in the folder masks.")
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(help="Of masks: displayed, or stored as in the photo's file (default with --layout)."),
    ] = None,
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
        threshold=threshold,
        margin=margin,
        layout=layout,
        orientation=orientation,
        batch_size=batch_size,
        max_pixels=max_pixels,
        force=force,
        device=device,
        engine=engine,
    )
    settings = build(PredictConfig, options, where="predict")
    from dbd_ray.detection.find_photos import find_photos

    found = find_photos(photos, recursive=recursive, out=settings.out)  # a wrong path need not wait for torch
    from dbd_ray.detection.detector import Detector
    from dbd_ray.detection.files import Prediction, predict_files
    from dbd_ray.detection.overview import counts_by_kind, write_overview

    detector = Detector.load(settings.model or only_packaged(), device=settings.device, engine=settings.engine)
    seen: Counter[bool] = Counter()
    with show_progress("photos") as advance:

        def show(prediction: Prediction) -> None:
            seen[bool(prediction.error)] += 1
            advance(seen.total(), len(found.photos), seen[True])

        done = predict_files(detector, found.photos, settings, names=found.names, on_photo=show)
    show_predictions(done, counts_by_kind(done), out)
    show_passed_over("other files", found.other_files, "hidden, results, no photo's suffix")
    why = "hidden, links, results" if recursive else "--recursive looks into them"
    show_passed_over("subfolders", found.folders, why)
    passed_over = {path: found.why_passed_over(path) for path in found.other_files}
    passed_over |= {path: found.why_not_looked_into(path, recursive=recursive) for path in found.folders}
    for problem in write_overview(done, passed_over, settings.out, force=settings.force):
        say(problem, aside=True)
    if any(one.error for one in done):
        raise SystemExit(1)
