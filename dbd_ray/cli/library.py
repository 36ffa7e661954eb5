"""The commands for photo libraries: `annotate`, `query` and `cull`."""

from contextlib import nullcontext
from math import isfinite
from typing import Annotated, Any

import typer

from dbd_ray.cli.console import say, show_library, show_progress
from dbd_ray.cli.options import Config, Model, Set, given, only_packaged, settings_help
from dbd_ray.cli.rows import checked_format, write_json, write_paths, write_rows
from dbd_ray.cli.session import folder_of_records, local_or_cluster, require_lasting
from dbd_ray.config import AnnotateConfig, build, layered
from dbd_ray.errors import ConfigError

Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI that `dbd-ray annotate` wrote.")]
Format = Annotated[str | None, typer.Option("--format", help="table (default), csv or json.")]
Print0 = Annotated[
    bool, typer.Option("--print0", "-0", help="Absolute paths alone, a zero byte behind each, for xargs -0.")
]

CULL_COLUMNS = ("burst", "keep", "path", "sharpness", "in_focus_fraction", "taken_at")
ANNOTATE_SETTINGS = settings_help(
    AnnotateConfig,
    options=(
        *("source", "out", "save", "long_side", "masks", "margin", "sidecar_dir", "pairs", "model", "endpoint"),
        *("actors", "gpus_per_actor", "force", "retry_errors"),
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
    endpoint: Annotated[
        str | None, typer.Option(help="Address of an endpoint that looks at the photos, instead of a model here.")
    ] = None,
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
        endpoint=endpoint,
        actors=actors,
        gpus_per_actor=gpus_per_actor,
        force=force,
        retry_errors=retry_errors,
    )
    settings = build(AnnotateConfig, layered(config, options, set_ or []), where=str(config or "annotate"))
    if masks is not None and "masks" not in settings.save:  # its default, too, was asked for here
        raise ConfigError("masks: has no effect, for no masks are saved: give --save masks as well")
    if settings.model is None and settings.endpoint is None:
        settings = settings.model_copy(update={"model": only_packaged()})
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
    from dbd_ray.library.job import annotate as run
    from dbd_ray.library.job import open_library, planned

    library = open_library(settings)
    if dry_run:
        show_library(planned(library), dry_run=True)
        return
    with local_or_cluster() if library.plan.pending else nullcontext(), show_progress("photos") as advance:
        report = run(library, on_photo=advance)
    show_library(report)
    if any(name.startswith("error") for name in report.counts):
        raise SystemExit(1)


def query(
    out: Out,
    condition: Annotated[
        str, typer.Argument(metavar="CONDITION", help="SQL condition, or a whole SELECT on `photos`; default all.")
    ] = "",
    columns: Annotated[str | None, typer.Option(help="Columns to show, with commas; * for all.")] = None,
    sort: Annotated[str | None, typer.Option(help="Column to sort by, or several: 'camera, sharpness desc'.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Most rows.")] = None,
    format_: Format = None,
    print0: Print0 = False,
) -> None:
    """Ask which photos of a library meet a condition.

    dbd-ray query OUT "kind = 'none_in_focus' AND f_number < 2"

    dbd-ray query OUT "sharpness > 40" --sort "sharpness desc" --limit 20

    dbd-ray query OUT "SELECT lens, count(*), avg(in_focus_fraction) FROM photos GROUP BY lens"

    kind (or focus_kind) is all_in_focus, partial or none_in_focus; texts stand in single quotes. What a camera did not
    write is NULL and meets no comparison: ask "f_number IS NULL". Files with an error and skipped ones are not among
    the photos, unless the condition (or SELECT) names status, reason or message: "status = 'error'". Nothing but the
    table can be read, and nothing changed.
    """
    form = checked_format(format_, print0=print0)
    if condition.strip().lower() in ("asc", "desc"):
        raise ConfigError(f'sort: put the order into the quotes: --sort "COLUMN {condition.strip()}"')
    if print0 and columns is not None:
        raise ConfigError("columns: would have no effect with --print0")
    chosen = ["uri", "path_bytes"] if print0 else _listed(columns)
    from dbd_ray.library.query import COLUMNS, ask, is_statement
    from dbd_ray.library.table import absolute_path, read_library

    whole = is_statement(condition)
    table = read_library(out)
    if not chosen and not whole and len(table["uri"].unique()) > 1:
        chosen = ["uri", *COLUMNS]  # the same path may be below several folders
    answer = ask(table, condition, columns=[] if print0 and whole else chosen, sort=_listed(sort), limit=limit)
    if print0:
        if not {"uri", "path_bytes"} <= set(answer.columns):
            raise ConfigError("print0: needs the columns uri and path_bytes: SELECT uri, path_bytes FROM photos ...")
        uri, path = map(answer.columns.index, ("uri", "path_bytes"))
        write_paths(absolute_path(row[uri], row[path]) for row in answer.rows)
    else:
        write_rows(answer.columns, answer.rows, form)
    if answer.left_out:
        say(f"{answer.left_out} files without a result are not among the photos; name status to see them", aside=True)


def cull(
    out: Out,
    seconds: Annotated[float, typer.Option(min=0, help="Longest time between two photos of a burst.")] = 3.0,
    distance: Annotated[
        int, typer.Option(min=0, max=64, help="Most bits of 64 in which near-duplicates' perceptual hashes differ.")
    ] = 10,
    keep: Annotated[int, typer.Option(min=1, help="How many of each burst are the best.")] = 1,
    without_time: Annotated[
        bool, typer.Option("--without-time", help="Compare photos without a time, too, by their hashes alone.")
    ] = False,
    format_: Format = None,
    print0: Annotated[
        bool, typer.Option("--print0", "-0", help="Paths of all but the best, a zero byte behind each, for xargs -0.")
    ] = False,
) -> None:
    """List bursts of near-duplicates, the sharpest subject first; no photo is moved, changed or deleted.

    dbd-ray cull OUT

    dbd-ray cull OUT --keep 2 --print0 | xargs -0 mv -t rejected/ --

    A burst is what one camera took within --seconds of each other and looks alike, or has the same content. A RAW file
    and the JPEG of its name are one shot. --print0 leaves out files that are gone and links to others of their burst.
    """
    form = checked_format(format_, print0=print0)
    if not isfinite(seconds):
        raise ConfigError(f"seconds: give a time, not {seconds}")
    from dbd_ray.library.cull import beyond_best, cull_page, several_shots
    from dbd_ray.library.table import absolute_paths, only_files_of_their_own, read_library

    table = read_library(out)
    bursts = cull_page(table, seconds=seconds, distance=distance, without_time=without_time)
    bursts = several_shots(table, only_files_of_their_own(table, bursts, keep_gone=True)[0])
    beyond = beyond_best(table, bursts, keep=keep)
    if print0:
        there, gone = only_files_of_their_own(table, bursts)
        write_paths(absolute_paths(table, beyond_best(table, there, keep=keep)))
        if gone:
            say(f"{gone} left out: gone since `dbd-ray annotate`, or links to others of their burst", aside=True)
        return
    rows = _cull_rows(table, bursts, set(beyond))
    if form == "json":
        write_json([[dict(zip(CULL_COLUMNS[1:], row, strict=True)) for row in burst] for burst in rows])
    else:
        cells = [(number, *row) for number, burst in enumerate(rows, start=1) for row in burst]
        write_rows(CULL_COLUMNS, [(one, "keep" if keeps else "", *rest) for one, keeps, *rest in cells], form)
    photos = sum(map(len, bursts))
    say(f"{len(bursts)} bursts of {photos} photos, {len(beyond)} beyond the best of each", aside=True)
    looked_at = zip(table["taken_at"].is_null().to_pylist(), table["status"].to_pylist(), strict=True)
    untimed = sum(no_time and status == "ok" for no_time, status in looked_at)
    if untimed and not without_time:
        say(f"{untimed} without a time were not compared (--without-time does)", aside=True)


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _cull_rows(table: Any, bursts: list[list[int]], beyond: set[int]) -> list[list[tuple[Any, ...]]]:
    columns = [table[name].to_pylist() for name in CULL_COLUMNS[2:]]
    return [[(row not in beyond, *(column[row] for column in columns)) for row in burst] for burst in bursts]
