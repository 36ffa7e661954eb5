"""The commands for photo libraries: `annotate`."""

from typing import Annotated

import typer

from dbd_ray.cli.console import show_library, show_progress
from dbd_ray.cli.options import Config, Model, Set, given, only_packaged, settings_help
from dbd_ray.cli.session import folder_of_records, local_or_cluster, require_lasting
from dbd_ray.config import AnnotateConfig, build, layered

ANNOTATE_SETTINGS = settings_help(
    AnnotateConfig,
    options=(
        *(
            "source",
            "out",
            "save",
            "long_side",
            "masks",
            "margin",
            "sidecar_dir",
            "pairs",
            "model",
            "actors",
            "gpus_per_actor",
        ),
        *("force", "retry_errors"),
    ),
)


def annotate(
    source: Annotated[str | None, typer.Argument(help="Folder or URI of the photos.")] = None,
    out: Annotated[str | None, typer.Argument(help="Folder or URI of the results.")] = None,
    save: Annotated[str | None, typer.Option(help="Which results: of focus,masks,crops,gallery,sidecars.")] = None,
    long_side: Annotated[
        int | None, typer.Option(min=0, help="Longer side of focus maps, px; default 1024, 0: native size.")
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="With --save masks: names and turning for colmap (default) or nerfstudio.")
    ] = None,
    margin: Annotated[
        int | None, typer.Option(min=0, help="Pixels that masks leave out along the border of what is sharp.")
    ] = None,
    sidecar_dir: Annotated[
        str | None, typer.Option(help="With --save sidecars: folder for them; default beside the photos.")
    ] = None,
    pairs: Annotated[bool | None, typer.Option("--pairs", help="RAW and JPEG of one name are one photo.")] = None,
    model: Model = None,
    actors: Annotated[str | None, typer.Option(help="Detectors side by side: N or min:max; default 1.")] = None,
    gpus_per_actor: Annotated[
        float | None, typer.Option(help="0.25 puts four on a GPU; default 1 where there are GPUs.")
    ] = None,
    force: Annotated[
        bool | None, typer.Option("--force", help="Replace files that are no results of the same photo, too.")
    ] = None,
    retry_errors: Annotated[
        bool | None, typer.Option("--retry-errors", help="Look again at all photos that failed before.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Find what is in focus in a whole photo library; running it again looks at what is new or changed.

    dbd-ray annotate ~/Pictures focus

    dbd-ray annotate s3://bucket/photos s3://bucket/focus --actors 2:8
    """
    options = given(
        source=source,
        out=out,
        save=save,
        long_side=long_side,
        masks=masks,
        margin=margin,
        sidecar_dir=sidecar_dir,
        pairs=pairs,
        model=model,
        actors=actors,
        gpus_per_actor=gpus_per_actor,
        force=force,
        retry_errors=retry_errors,
    )
    settings = build(AnnotateConfig, layered(config, options, set_ or []), where=str(config or "annotate"))
    if settings.model is None:
        settings = settings.model_copy(update={"model": only_packaged()})
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
    from dbd_ray.library.job import annotate as run

    if dry_run:
        show_library(run(settings, dry_run=True), dry_run=True)
        return
    with local_or_cluster(), show_progress("photos") as advance:
        report = run(settings, on_photo=advance)
    show_library(report)
    if any(name.startswith("error") for name in report.counts):
        raise SystemExit(1)
