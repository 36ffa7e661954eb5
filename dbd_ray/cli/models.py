"""The commands about trained models: `evaluate`, `export`, `import`, `models`."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from dbd_ray.cli.console import Advance, say, say_where_recorded, show_progress, show_table
from dbd_ray.cli.options import Config, Model, Set, given, only_packaged, settings_help
from dbd_ray.cli.session import folder_of_records, require_lasting
from dbd_ray.config import EvaluateConfig, build, layered
from dbd_ray.config.settings import local_path
from dbd_ray.errors import ConfigError
from dbd_ray.names import HEADLINE_METRICS

EVALUATE_SETTINGS = settings_help(
    EvaluateConfig,
    options=(
        *("model", "root", "layout", "polarity", "prepared", "split", "refine", "out", "device"),
        *("against", "promote"),
    ),
)


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="Packaged model, checkpoint folder, or models:/NAME@ALIAS.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Folder or URI of labelled photos, measured at native size.")] = None,
    layout: Annotated[str | None, typer.Option(help="cuhk (default), dut, szu-bd, folder, or sharp.")] = None,
    polarity: Annotated[str | None, typer.Option(help="With --layout folder: focus or blur.")] = None,
    prepared: Annotated[str | None, typer.Option(help="A prepared dataset instead, measured at its size.")] = None,
    split: Annotated[str | None, typer.Option(help="test (default), train, or val.")] = None,
    refine: Annotated[str | None, typer.Option(help="guided (default) or bilinear.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the report.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or cuda:N.")] = None,
    against: Annotated[str | None, typer.Option(help="A model to compare with, photo by photo.")] = None,
    promote: Annotated[
        bool | None, typer.Option("--promote", help="Compare with @champion, and take its place if better.")
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Measure a model: every metric, PR curve, worst cases, comparison with published results.

    dbd-ray evaluate runs/mine/model --root cuhk/ --out runs/mine/report

    dbd-ray evaluate lite --config jobs/configs/bench.yaml --out runs/bench/lite

    dbd-ray evaluate models:/dbd-ray@candidate --root cuhk/ --out runs/mine/report --promote
    """
    options = given(
        model=model,
        root=root,
        layout=layout,
        polarity=polarity,
        prepared=prepared,
        split=split,
        refine=refine,
        out=out,
        device=device,
        against=against,
        promote=promote,
    )
    settings = build(EvaluateConfig, layered(config, options, set_ or []), where=str(config or "evaluate"))
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
    if settings.sets:
        _evaluate_sets(settings)
        return
    from dbd_ray.evaluation.run import evaluate as run
    from dbd_ray.tracking.runs import tracking_uri

    with show_progress("photos") as advance:
        found = run(settings, on_photo=advance)
    show_table(("metric", "value"), [(name, f"{value:.4f}") for name, value in found.metrics.items()])
    if found.comparison:
        say(str(found.comparison), aside=True)
    if found.decision:
        say(found.decision, aside=True)
    say(f"report: {found.files['html']}", aside=True)
    say_where_recorded(found.run_id, tracking_uri(settings.storage), aside=True)


def _evaluate_sets(settings: EvaluateConfig) -> None:
    from dbd_ray.evaluation.bench import measure_sets
    from dbd_ray.evaluation.bench_files import table_rows
    from dbd_ray.tracking.runs import tracking_uri

    with ExitStack() as stack:
        bars: dict[str, Advance] = {}

        def advance(name: str, done: int, total: int) -> None:
            if name not in bars:
                stack.close()  # the bar of the set before: two live ones cannot be shown
                bars[name] = stack.enter_context(show_progress(name))
            bars[name](done, total)

        found = measure_sets(settings, on_photo=advance)
    show_table(*table_rows(settings, found.sets))
    say(f"table: {found.files['markdown']}", aside=True)
    for name, result in found.sets.items():
        if result.files:
            say(f"report of {name}: {result.files['html']}", aside=True)
    say_where_recorded(found.run_id, tracking_uri(settings.storage), aside=True)


def export(
    format: Annotated[str, typer.Argument(help="onnx.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    model: Model = None,
) -> None:
    """Write a model as a file for other programs.

    dbd-ray export onnx --out dbd.onnx
    """
    _choice("format", format, ("onnx",))
    local_path(out)
    if os.path.lexists(out) and not _is_exported(out):
        raise ConfigError(f"{out}: is there already and no file of this command; choose another --out, or delete it")
    from dbd_ray.detection.detector import Detector
    from dbd_ray.engines.onnx_engine import export_onnx, load_onnxruntime, onnx_difference

    load_onnxruntime()  # with which the file is compared: what is missing must not show only when it is written
    detector = Detector.load(model or only_packaged(), device="cpu", engine="eager")
    card = detector.card
    facts = {"name": card.name, "fingerprint": card.fingerprint, "polarity": card.polarity}
    export_onnx(detector.network, out, input_size=card.input_size, facts=facts)
    height, width = card.input_size
    say(f"{out}: {card.name}, uint8 photos N×3×{height}×{width} in, float32 focus N×{height}×{width} out")
    difference = onnx_difference(detector.network, out, input_size=card.input_size)
    say(f"largest difference to torch's maps: {difference:.1e}", aside=True)


def import_(
    file: Annotated[Path, typer.Argument(help="The .pth file that the authors released.")],
    architecture: Annotated[str, typer.Option(help="resnext101, vgg16, dbdgan_teacher or dbdgan_student.")],
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint.")],
) -> None:
    """Turn weights that a paper's authors released into a checkpoint, without running what is in them."""
    from dbd_ray.checkpoints.authors import Architecture, import_authors
    from dbd_ray.checkpoints.files import save_checkpoint

    local_path(out)
    known: Architecture = _choice("architecture", architecture, get_args(Architecture))
    network, card = import_authors(file, known)
    card = save_checkpoint(out, network, card)
    say(f"{out}: {card.name}, {card.parameters / 1e6:.1f} M parameters")


def models() -> None:
    """List the models that come with the package and the architectures that can be trained."""
    from dbd_ray.checkpoints.files import load_checkpoint
    from dbd_ray.checkpoints.find import packaged_models
    from dbd_ray.models import architectures

    rows = []
    for name, folder in packaged_models().items():
        _, card = load_checkpoint(folder)
        rows.append(
            (
                name,
                card.network.backbone,
                f"{card.parameters / 1e6:.2f} M",
                *(f"{card.metrics[metric]:.3f}" if metric in card.metrics else "–" for metric in HEADLINE_METRICS[:2]),
                str(card.provenance.get("measured_on", "–")),
            )
        )
    if rows:
        show_table(("model", "backbone", "size", "MAE", "F", "measured on"), rows)
    else:
        say("no models in this package", aside=True)
    say(f"architectures to train: {', '.join(architectures())}", aside=True)


def _choice(name: str, value: str, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is unknown, choose one of {', '.join(choices)}")
    return value


def _is_exported(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError:
        return True  # nothing is written without it, which the export says
    try:
        properties = onnx.load(file, load_external_data=False).metadata_props
    except (OSError, DecodeError):
        return False
    return {"input_size", "fingerprint"} <= {one.key for one in properties}
