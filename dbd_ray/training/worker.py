"""The thin Ray adapter around the training loop: what every Ray Train worker runs."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

import numpy as np
import ray.train
import ray.train.torch
import torch
import torch.distributed
from ray import ObjectRef
from ray.util.queue import Queue
from torch import nn

from dbd_ray.checkpoints.files import save_checkpoint
from dbd_ray.config import TrainConfig
from dbd_ray.config.train import largest_part
from dbd_ray.errors import TrainingError
from dbd_ray.images.encode import encode_photo
from dbd_ray.metrics import FocusMetrics
from dbd_ray.names import Split
from dbd_ray.tracking.runs import RunLog, attempt
from dbd_ray.training.ingest import CachedRows, Ingest, Rows, choose_ingest
from dbd_ray.training.learner import Learner, make_learner
from dbd_ray.training.ledger import check_ledger
from dbd_ray.training.loop import close_epoch, train_epoch, validate
from dbd_ray.training.provenance import (
    DataDescription,
    describe_data,
    make_run_card,
    make_teacher_card,
    read_provenance,
    require_same_teachers,
)
from dbd_ray.training.ranks import Ranks, with_synchronised_batchnorms
from dbd_ray.training.reporting import Reporter
from dbd_ray.training.run_folder import TEACHER
from dbd_ray.training.sample_maps import first_rows, sample_maps
from dbd_ray.training.samples import EncodedRow, eval_batches, rows_from_columns, train_batches
from dbd_ray.training.start import load_start, starting_network
from dbd_ray.training.state import restore_run, rng_state, save_run, seed_everything
from dbd_ray.training.streaming import StreamedRows


class WorkerSettings(TypedDict, total=False):
    """Settings that every worker of a run gets: `train`, and optionally what the driver has found out or loaded.

    Keys:
        train: A TrainConfig as a dict.
        data: Description of the data by `provenance.describe_data`; left out or None: each worker makes it.
        ingest: Choice of `ingest.choose_ingest` as (kind, reason); left out or None: each worker chooses.
        teachers: Detector teachers, loaded by `detector_teachers.load_detector_teachers`, in Ray's object store, which
            ships them to workers that cannot read their files; left out or None: each worker loads those that `train`
            names.
        start: Detector to begin with, loaded by `start.load_start`, in Ray's object store; left out or None: likewise.
        mlflow: `uri` and `run_id` of the MLflow run in which rank 0 logs every epoch; left out or None: nowhere.
        progress: Queue of `reporting.listening`; left out or None: rank 0 prints its progress.
    """

    train: Required[dict[str, Any]]
    data: DataDescription | None
    ingest: tuple[Literal["cached", "streaming"], str] | None
    teachers: ObjectRef | None
    start: ObjectRef | None
    mlflow: dict[str, str] | None
    progress: Queue | None


def train_loop_per_worker(settings: WorkerSettings) -> None:
    """Train on this worker; give it to a TorchTrainer with datasets "train" and (where there is one) "val".

    Args:
        settings: The run; `{"train": config.model_dump(mode="json")}` is enough.

    Raises:
        TrainingError: The loss or a gradient became non-finite.
        ConfigError: Settings do not fit the data, another detector cannot be loaded, or the run began with other
            detector teachers.
        CheckpointError: The checkpoint to go on from is damaged, or was trained on other photos.
    """
    config = TrainConfig.model_validate(settings["train"])
    data = settings.get("data") or describe_data(config)
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    device = ray.train.torch.get_device()
    cores = max(1, round(config.workers.cpus))
    if device.type == "cpu":
        torch.set_num_threads(cores)
    threads = cores if device.type == "cuda" else 0  # a CPU's cores are all busy with the network
    seed_everything(config.seed)  # on every rank alike, as all begin with the same weights

    ingest = Ingest(*chosen) if (chosen := settings.get("ingest")) else choose_ingest(config)
    rows, val_rows = _rows("train", config, ingest), _rows("val", config, ingest)
    steps = rows.per_epoch() // config.batch_size
    learner = _learner(settings, config, rows, device, ranks)
    reporter = Reporter(ranks.rank, settings.get("progress"))
    reporter.note(f"precision {learner.precision.reason}")
    reporter.note(f"{ingest.kind} rows: {ingest.reason}")
    reporter.note(
        f"{rows.available} training and {val_rows.available} validation rows; {steps} steps of {config.batch_size} an "
        f"epoch{_how_dealt_out(config, ranks.world_size)}"
    )
    if learner.epoch:
        reporter.note(f"resuming after epoch {learner.epoch} of {config.epochs}")

    mlflow = settings.get("mlflow")
    log = RunLog(**mlflow) if mlflow and ranks.rank == 0 else None
    shown = first_rows(val_rows.all()) if log else []
    while learner.epoch < config.epochs:
        batches = train_batches(
            rows.epoch(learner.epoch),
            batch_size=config.batch_size,
            config=config.augment,
            seed=config.seed,
            epoch=learner.epoch,
            ranks=ranks,
            threads=threads,
            pin=device.type == "cuda",
            size=config.input_size,
        )
        trained = ranks.mean(train_epoch(learner, batches, steps=steps, on_progress=reporter.progress))
        if reason := learner.objective.reason_to_stop(trained):
            raise TrainingError(f"epoch {learner.epoch + 1}: {reason}")
        measured = _validate(learner, val_rows, threads)
        close_epoch(learner)
        batch = {"effective_batch": learner.ledger[-1].photos / steps, "workers": ranks.world_size}
        metrics = {"epoch": learner.epoch, **_named("train", trained | batch), **_named("val", measured)}
        learner.history.append(metrics)
        reporter.note(_epoch_line(config, metrics))
        _report(learner, metrics, data)  # before MLflow: its failure must not cost the epoch
        if log:
            _log_epoch(log, metrics, sample_maps(learner, shown) if shown else None, reporter)


def _rows(split: Split, config: TrainConfig, ingest: Ingest) -> Rows:
    if ingest.kind == "streaming":
        return StreamedRows(split, config)
    try:
        shard = ray.train.get_dataset_shard(split)
    except KeyError:
        return CachedRows([], config)
    rows: list[EncodedRow] = []
    for batch in shard.iter_batches(batch_size=256, batch_format="pyarrow"):
        rows += rows_from_columns(batch.to_pydict())
    return CachedRows(rows, config)


def _learner(settings: WorkerSettings, config: TrainConfig, rows: Rows, device: torch.device, ranks: Ranks) -> Learner:
    """Build the learner as the run begins, or as its last checkpoint left it."""
    saved = ray.train.get_checkpoint()
    start = None
    if not saved:  # a run that goes on has its weights in its own checkpoint
        start = ray.get(shipped) if (shipped := settings.get("start")) else load_start(config)
    steps = rows.per_epoch() // config.batch_size
    learner = make_learner(
        config,
        starting_network(config, start),
        steps_per_epoch=steps,
        device=device,
        wrap=partial(_data_parallel, sync_batchnorm=config.workers.sync_batchnorm),
        teachers=ray.get(shipped) if (shipped := settings.get("teachers")) else (),
        ranks=ranks,
    )
    learner.started_from = start.name if start else None
    seed_everything(config.seed, rank=ranks.rank)
    if saved:
        with saved.as_directory() as folder:
            restore_run(learner, Path(folder))
            require_same_teachers(learner, Path(folder))
            learner.started_from = read_provenance(Path(folder)).get("start_from")
        check_ledger(learner.ledger, epoch=learner.epoch, photos=steps * config.batch_size, planned=rows.digest)
    return learner


def _data_parallel(network: nn.Module, *, sync_batchnorm: bool) -> nn.Module:
    return ray.train.torch.prepare_model(with_synchronised_batchnorms(network) if sync_batchnorm else network)


def _validate(learner: Learner, rows: Rows, threads: int) -> dict[str, float]:
    if not rows.available:
        return {}
    ranks = learner.ranks
    if ranks.world_size > 1:
        # each rank's last step left its own batch's running statistics; rank 0's are the ones that are saved
        for buffer in learner.best_network.buffers():
            torch.distributed.broadcast(buffer, src=0)
    mine = FocusMetrics()
    for some in rows.all():
        own = some[ranks.rank :: ranks.world_size]
        mine.merge(validate(learner, eval_batches(own, batch_size=8, threads=threads, size=learner.config.input_size)))
    merged = FocusMetrics()
    for part in ranks.gather(mine):
        merged.merge(part)
    return merged.compute()


def _report(learner: Learner, metrics: dict[str, float], data: DataDescription) -> None:
    rngs = learner.ranks.gather(rng_state(learner.device))
    if learner.ranks.rank != 0:
        ray.train.report(metrics)  # every rank must report, one saves
        return
    with tempfile.TemporaryDirectory() as folder:
        save_run(learner, Path(folder), make_run_card(learner, data), rngs)
        if learner.objective.teacher:
            teacher, network = learner.objective.teacher
            save_checkpoint(Path(folder) / TEACHER, teacher, make_teacher_card(learner, data, teacher, network))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _log_epoch(log: RunLog, metrics: dict[str, float], maps: np.ndarray | None, reporter: Reporter) -> None:
    def complain(problem: str) -> None:
        reporter.note(f"{problem}; epoch {metrics['epoch']} is logged when the run ends")

    epoch = int(metrics["epoch"])
    attempt(lambda: log.metrics(metrics, step=epoch), complain)
    if maps is not None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"epoch-{epoch:03d}.jpg").write_bytes(encode_photo(maps))
            attempt(lambda: log.files(Path(folder), under="maps"), lambda problem: reporter.note(f"{problem}; no maps"))


def _how_dealt_out(config: TrainConfig, workers: int) -> str:
    if workers == 1 and not config.micro_batch_size:
        return ""
    share = largest_part(config.batch_size, workers)
    passes = config.passes(workers)
    return f", {share} on each of {workers} worker(s) in {passes} pass(es)"


def _epoch_line(config: TrainConfig, metrics: dict[str, float]) -> str:
    text = f"epoch {metrics['epoch']}/{config.epochs} done  loss {metrics['train/loss']:.4f}"
    if "val/mae" in metrics:
        text += f"  val mae {metrics['val/mae']:.4f}  val F {metrics['val/f_adaptive_pooled_dd_notebook']:.4f}"
    return f"{text}  {metrics['train/images_per_s']:.1f} images/s"


def _named(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in values.items()}
