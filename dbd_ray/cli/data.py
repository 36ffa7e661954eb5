"""The commands that make what training reads: prepared datasets (`prepare`) and their depths (`teach`)."""

from typing import Annotated

import typer
from rich.markup import escape

from dbd_ray.cli.console import say, show_progress, show_teaching
from dbd_ray.cli.options import Config, Set, given, settings_help
from dbd_ray.cli.session import folder_of_records, local_or_cluster, require_lasting
from dbd_ray.config import PrepareConfig, TeachConfig, build, layered
from dbd_ray.teachers import teacher_help

PREPARE_SETTINGS = settings_help(
    PrepareConfig,
    options=("root", "out", "layout", "polarity", "size", "validation_fraction", "scenes", "photos", "seed"),
)
TEACH_SETTINGS = (
    "[bold]Teachers[/bold]\n"
    + "\n".join(f"  {escape(line)}" for line in teacher_help().splitlines())
    + "\n"
    + settings_help(
        TeachConfig,
        options=(
            *("teacher", "data", "photos", "out", "pictures", "actors", "batch_size"),
            *("gpus_per_actor", "precision", "retry_errors"),
        ),
    )
)


def prepare(
    root: Annotated[str | None, typer.Argument(help="Folder or URI of labelled photos.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder or URI of the prepared dataset.")] = None,
    layout: Annotated[str | None, typer.Option(help="cuhk (default), dut, szu-bd, folder or sharp.")] = None,
    polarity: Annotated[
        str | None, typer.Option(help="What white means in the masks, focus or blur; with --layout folder.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Height and width of the prepared pictures, px; default 320.")
    ] = None,
    validation: Annotated[float | None, typer.Option(help="Share of training pictures held out; default 0.1.")] = None,
    scenes: Annotated[int | None, typer.Option(help="Render this many thin-lens scenes instead.")] = None,
    photos: Annotated[str | None, typer.Option(help="Folder of photos that scenes are cut from.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the scenes; default 0.")] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Check, resize and pack labelled photos (or rendered scenes) into Parquet for training.

    dbd-ray prepare cuhk/ --out runs/cuhk

    dbd-ray prepare --scenes 500 --photos sharp-photos/ --out runs/scenes
    """
    options = given(
        root=root,
        out=out,
        layout=layout,
        polarity=polarity,
        size=size,
        validation_fraction=validation,
        scenes=scenes,
        photos=photos,
        seed=seed,
    )
    settings = build(PrepareConfig, layered(config, options, set_ or []), where=str(config or "prepare"))
    require_lasting(out=settings.out)
    from dbd_ray.datasets.prepare import prepare_from

    with local_or_cluster(), show_progress("scenes" if settings.scenes else "photos") as advance:
        info = prepare_from(settings, on_row=advance)
    rows = ", ".join(f"{count} {split}" for split, count in sorted(info.rows.items()))
    say(f"{settings.out}: {rows} pictures of {info.input_size[0]}×{info.input_size[1]} px, {info.fingerprint}")


def teach(
    teacher: Annotated[str | None, typer.Argument(help="KIND:WHERE, see below.")] = None,
    data: Annotated[str | None, typer.Option(help="Prepared dataset whose rows get the depths.")] = None,
    photos: Annotated[str | None, typer.Option(help="Folder of photos, or Parquet with id and uri, instead.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder or URI of the depths; with --photos.")] = None,
    pictures: Annotated[
        str | None, typer.Option(help="With --data: original (default, where known) or prepared pictures.")
    ] = None,
    actors: Annotated[str | None, typer.Option(help="Teachers side by side: N or min:max; default 1.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos that a teacher sees at once; default 16.")] = None,
    gpus_per_actor: Annotated[
        float | None, typer.Option(help="0.25 puts four on a GPU; default 1 where there are GPUs.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto (bfloat16 on GPUs), float32 or bfloat16.")] = None,
    retry_errors: Annotated[
        bool | None, typer.Option("--retry-errors", help="Look again at photos that failed before.")
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Let a depth network look once at every photo; running it again goes on where it was interrupted.

    dbd-ray teach litert:midas.tflite --data runs/cuhk --actors 2

    dbd-ray teach hf:depth-anything/Depth-Anything-V2-Small-hf --photos s3://bucket/photos --out s3://bucket/depths
    """
    options = given(
        teacher=teacher,
        data=data,
        photos=photos,
        out=out,
        pictures=pictures,
        actors=actors,
        batch_size=batch_size,
        gpus_per_actor=gpus_per_actor,
        precision=precision,
        retry_errors=retry_errors,
    )
    settings = build(TeachConfig, layered(config, options, set_ or []), where=str(config or "teach"))
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
    from dbd_ray.teaching.job import teach as run

    with local_or_cluster(), show_progress("photos") as advance:
        report = run(settings, on_photo=advance)
    show_teaching(report)
    if report.errors:
        raise SystemExit(1)
