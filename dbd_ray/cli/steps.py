"""What the commands do: settings in, work in the package, words out."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast, get_args

from dbd_ray.cli.console import say, show_predictions, show_progress, show_table, show_teaching, show_training
from dbd_ray.cli.submitted import folder_of_records, require_lasting
from dbd_ray.config import EvaluateConfig, PrepareConfig, TeachConfig, build, layered, load_train_config
from dbd_ray.errors import ConfigError
from dbd_ray.names import HEADLINE_METRICS, EngineName, Polarity, Refinement, ResultFile

# Heavy libraries are imported by the step that needs them: `--help` must not wait for torch and Ray.


def prepare(options: dict[str, Any], config: Path | None, overrides: Sequence[str]) -> None:
    """Write a prepared dataset."""
    settings = build(PrepareConfig, layered(config, options, overrides), where=str(config or "prepare"))
    require_lasting(out=settings.out)
    from dbd_ray.cli.ray_session import local_or_cluster
    from dbd_ray.datasets.prepare import prepare_from

    with local_or_cluster(data_bars=True):
        info = prepare_from(settings)
    rows = ", ".join(f"{count} {split}" for split, count in sorted(info.rows.items()))
    say(f"{settings.out}: {rows} pictures of {info.input_size[0]}×{info.input_size[1]} px, {info.fingerprint}")


def teach(options: dict[str, Any], config: Path | None, overrides: Sequence[str]) -> None:
    """Run a depth teacher and say what came of it; exit status 1 if any photo has no depth."""
    settings = build(TeachConfig, layered(config, options, overrides), where=str(config or "teach"))
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
    from dbd_ray.cli.ray_session import local_or_cluster
    from dbd_ray.teaching.job import teach as run

    with local_or_cluster(), show_progress("photos") as advance:
        report = run(settings, on_photo=advance)
    show_teaching(report)
    if report.errors:
        raise SystemExit(1)


def train(config: Path | None, overrides: Sequence[str]) -> None:
    """Train, or resume, and say where the model is."""
    settings = load_train_config(config, overrides)
    require_lasting(storage=settings.storage)
    from dbd_ray.cli.ray_session import local_or_cluster
    from dbd_ray.training.open_run import open_run
    from dbd_ray.training.run_folder import TrainedModel
    from dbd_ray.training.trainer import train as run

    trained = open_run(settings)  # what is wrong with settings and data need not wait for Ray
    if isinstance(trained, TrainedModel):
        say(f"run {settings.name} is finished already, this is its result; choose another name to train again")
    else:
        with local_or_cluster(), show_training() as on_event:
            trained = run(trained, on_event=on_event)
    values = [
        f"{name} {trained.metrics[f'val/{name}']:.4f}" for name in HEADLINE_METRICS if f"val/{name}" in trained.metrics
    ]
    say(f"best epoch {trained.metrics['epoch']:.0f} of {settings.epochs}: {', '.join(values) or 'no validation split'}")
    say(f"model: {trained.folder}")
    say(f"MLflow run {trained.run_id}: mlflow ui --backend-store-uri {trained.tracking_uri}")


def evaluate(options: dict[str, Any], config: Path | None, overrides: Sequence[str]) -> None:
    """Measure a model and say the main figures."""
    settings = build(EvaluateConfig, layered(config, options, overrides), where=str(config or "evaluate"))
    require_lasting(out=settings.out, storage=folder_of_records(settings.storage))
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
    say(f"MLflow run {found.run_id}: mlflow ui --backend-store-uri {tracking_uri(settings.storage)}", aside=True)


def predict(photos: Sequence[Path], out: Path, *, model: str | None, save: str, **options: Any) -> None:
    """Write focus maps of photos; exit status 1 if any photo failed."""
    from dbd_ray.detection.detector import Detector
    from dbd_ray.detection.files import find_photos, predict_files
    from dbd_ray.images.decode import MAX_PIXELS

    refine = _choice("refine", options["refine"], get_args(Refinement))
    polarity = _choice("polarity", options["polarity"], ("focus", "blur"))
    found = find_photos(photos, recursive=options["recursive"])
    engine = cast(EngineName, _choice("engine", options["engine"], get_args(EngineName)))
    detector = Detector.load(model or _only_packaged(), device=options["device"], engine=engine)
    number = count(1)
    with show_progress("photos") as advance:
        done = predict_files(
            detector,
            found.photos,
            out,
            save=cast(Sequence[ResultFile], [name.strip() for name in save.split(",") if name.strip()]),
            refine=cast(Refinement, refine),
            tile=options["tile"],
            polarity=cast(Polarity, polarity),
            batch_size=options["batch_size"],
            max_pixels=options["max_pixels"] or MAX_PIXELS,
            on_photo=lambda _: advance(next(number), len(found.photos)),
        )
    show_predictions(done, out)
    if found.other_files:
        say(f"other files passed over: {len(found.other_files)} (hidden, results, no photo's suffix)", aside=True)
    if found.folders:
        why = "hidden, links" if options["recursive"] else "--recursive looks into them"
        say(f"subfolders passed over: {len(found.folders)} ({why})", aside=True)
    if any(one.error for one in done):
        raise SystemExit(1)


def export(format: str, model: str | None, out: Path) -> None:
    """Write a model as a file for other programs, and say how far its maps are from the network's own."""
    _choice("format", format, ("onnx",))
    from dbd_ray.detection.detector import Detector
    from dbd_ray.engines.onnx_engine import export_onnx, onnx_difference

    detector = Detector.load(model or _only_packaged(), device="cpu", engine="eager")
    card = detector.card
    facts = {"name": card.name, "fingerprint": card.fingerprint, "polarity": card.polarity}
    export_onnx(detector.network, out, input_size=card.input_size, facts=facts)
    height, width = card.input_size
    say(f"{out}: {card.name}, uint8 photos N×3×{height}×{width} in, float32 focus N×{height}×{width} out")
    difference = onnx_difference(detector.network, out, input_size=card.input_size)
    say(f"largest difference to torch's maps: {difference:.1e}", aside=True)


def import_(file: Path, architecture: str, out: Path) -> None:
    """Write a checkpoint of the authors' weights."""
    from dbd_ray.checkpoints.authors import Architecture, import_authors
    from dbd_ray.checkpoints.files import save_checkpoint

    known = _choice("architecture", architecture, get_args(Architecture))
    network, card = import_authors(file, cast(Architecture, known))
    card = save_checkpoint(out, network, card)
    say(f"{out}: {card.name}, {card.parameters / 1e6:.1f} M parameters")


def models() -> None:
    """List packaged models and architectures."""
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


def _only_packaged() -> str:
    from dbd_ray.checkpoints.find import packaged_models

    names = list(packaged_models())
    if len(names) != 1:
        raise ConfigError(f"model: choose one with --model ({', '.join(names) or 'this package holds none'})")
    return names[0]


def _choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is unknown, choose one of {', '.join(choices)}")
    return value
