"""Measuring a detector: the figures are the metrics of what it detects, on folders and on prepared datasets alike."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dbd_ray import Detector
from dbd_ray.config import EvaluateConfig
from dbd_ray.errors import CheckpointError, ConfigError, DatasetError
from dbd_ray.evaluation.measure import describe
from dbd_ray.evaluation.run import Evaluation, evaluate
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask, encode_mask, encode_photo
from dbd_ray.metrics import FocusMetrics
from dbd_ray.names import Refinement


@pytest.fixture(scope="module")
def detector(model: Path) -> Detector:
    return Detector.load(model, device="cpu", engine="eager")


@pytest.fixture(scope="module")
def measured(model: Path, native: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, list[Any]]:
    """The folder's evaluation, and what it told of its progress."""
    heard: list[Any] = []
    out = tmp_path_factory.mktemp("measured")
    config = EvaluateConfig(
        model=str(model), out=str(out / "report"), root=str(native), device="cpu", batch_size=4, storage=str(out)
    )
    return evaluate(config, on_photo=lambda done, total: heard.append((done, total))), heard


def _by_hand(
    detector: Detector, pairs: dict[str, tuple[np.ndarray, np.ndarray]], refine: Refinement = "guided"
) -> tuple[FocusMetrics, dict[str, dict[str, float]]]:
    metrics = FocusMetrics()
    values = {
        name: metrics.update(detector.detect([photo], refine=refine)[0].focus, truth)
        for name, (photo, truth) in sorted(pairs.items())
    }
    return metrics, values


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_on_a_folder_the_figures_are_those_of_the_native_maps(
    measured: tuple[Evaluation, list[Any]],
    detector: Detector,
    native: Path,
    pairs: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    found, heard = measured
    metrics, values = _by_hand(detector, pairs)
    assert found.metrics == pytest.approx(metrics.compute(), abs=1e-4)
    assert found.metrics["mae"] == pytest.approx(np.mean([one["mae"] for one in values.values()]), abs=1e-5)
    rows = _csv(found.files["per_image"])
    assert [row["id"] for row in rows] == sorted(pairs)
    assert [float(row["mae"]) for row in rows] == pytest.approx([values[row["id"]]["mae"] for row in rows], abs=1e-5)
    assert heard == [(done, len(pairs)) for done in range(1, len(pairs) + 1)]
    written = json.loads(found.files["metrics"].read_text())
    assert (written["dataset"], written["split"], written["images"]) == ("cuhk", "test", len(pairs))
    assert written["title"] == "tiny on cuhk, test split"
    assert written["metrics"] == pytest.approx(found.metrics)
    assert written["settings"]["evaluation"]["root"] == str(native)
    assert written["model"] == describe(detector)


def test_the_worst_are_the_worst_and_come_in_that_order(
    measured: tuple[Evaluation, list[Any]], detector: Detector, pairs: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    _, values = _by_hand(detector, pairs)
    ranked = sorted(values, key=lambda name: values[name]["mae"], reverse=True)
    shown = [path.stem.split("_", 1)[1] for path in sorted(measured[0].files["worst"].iterdir())]
    assert shown == ranked[: len(shown)]
    assert len(shown) == len(pairs) - 1


def test_refinement_changes_the_figures(
    measured: tuple[Evaluation, list[Any]],
    detector: Detector,
    model: Path,
    native: Path,
    pairs: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    config = EvaluateConfig(model=str(model), out="report", root=str(native), device="cpu", refine="bilinear")
    bilinear = evaluate(config).metrics
    assert bilinear == pytest.approx(_by_hand(detector, pairs, "bilinear")[0].compute(), abs=1e-4)
    assert bilinear["mae"] != pytest.approx(measured[0].metrics["mae"], abs=1e-6)


def test_a_detector_without_errors_scores_full_marks(
    detector: Detector, model: Path, pairs: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    root = tmp_path / "its-own-answers"
    for name in ("image", "mask"):
        (root / name).mkdir(parents=True)
    for name, (photo, _) in list(pairs.items())[:3]:
        (root / "image" / f"{name}.png").write_bytes(encode_photo(photo, format="png"))
        (root / "mask" / f"{name}.png").write_bytes(encode_mask(detector.detect([photo])[0].focus >= 0.5))
    config = EvaluateConfig(
        model=str(model), out="report", root=str(root), layout="folder", polarity="focus", split="train", device="cpu"
    )
    found = evaluate(config).metrics
    # to a rounding: batches of other sizes may move a pixel over the threshold
    assert [found[f"{name}_at_half_{side}"] for name in ("f", "iou") for side in ("focus", "blur")] == pytest.approx(
        [1, 1, 1, 1], abs=1e-3
    )


def test_a_prepared_dataset_is_measured_at_its_size_one_split_at_a_time(
    detector: Detector, model: Path, prepared: Path
) -> None:
    stored = {row["id"]: row for row in pq.read_table(prepared / "parts-1").to_pylist()}
    for split in ("test", "val"):
        found = evaluate(EvaluateConfig(model=str(model), out=split, prepared=str(prepared), split=split, device="cpu"))
        chosen = {
            name: (decode_photo(row["image"]), decode_mask(row["mask"], polarity="focus"))
            for name, row in stored.items()
            if row["split"] == split
        }
        assert found.metrics == pytest.approx(_by_hand(detector, chosen)[0].compute(), abs=1e-4)
        assert [row["id"] for row in _csv(found.files["per_image"])] == sorted(chosen)
    assert json.loads(Path("test", "metrics.json").read_text())["dataset"] == "cuhk+rendered"


def test_photos_that_are_wholly_in_focus_are_measured_without_masks(model: Path, bsds500: Path, tmp_path: Path) -> None:
    (tmp_path / "sharp" / "val").mkdir(parents=True)
    for source in sorted((bsds500 / "val").iterdir())[:3]:
        with Image.open(source) as photo:
            photo.resize((photo.width // 4, photo.height // 4)).save(tmp_path / "sharp" / "val" / source.name)
    found = evaluate(
        EvaluateConfig(model=str(model), out="report", root=str(tmp_path / "sharp"), layout="sharp", device="cpu")
    )
    rows = _csv(found.files["per_image"])
    assert [row["id"] for row in rows] == [f"test_{path.stem}" for path in sorted((tmp_path / "sharp/val").iterdir())]
    assert [float(row["in_focus_fraction_truth"]) for row in rows] == [1, 1, 1]
    # beside a truth that is in focus everywhere, this metric is the share of pixels that are called sharp
    called_sharp = [float(row["in_focus_fraction_map"]) for row in rows]
    assert [float(row["iou_at_half_focus"]) for row in rows] == pytest.approx(called_sharp)
    assert found.metrics["iou_at_half_focus"] == pytest.approx(np.mean(called_sharp))
    assert all(0 < share < 1 for share in called_sharp)
    written = json.loads(found.files["metrics"].read_text())
    assert (written["dataset"], written["split"], written["images"]) == ("sharp", "test", 3)
    assert "published results" not in found.files["markdown"].read_text()


def test_a_split_that_is_not_there_is_named_with_what_to_do(
    model: Path, native: Path, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no photos in split 'train'; choose another with --split"):
        evaluate(EvaluateConfig(model=str(model), out="report", prepared=str(prepared), split="train"))
    (native / "test.txt").rename(native / "listed.txt")
    try:
        with pytest.raises(DatasetError, match=r"test\.txt: missing"):
            evaluate(EvaluateConfig(model=str(model), out="report", root=str(native)))
    finally:
        (native / "listed.txt").rename(native / "test.txt")
    shutil.copytree(native / "image", tmp_path / "untested" / "image")
    shutil.copytree(native / "gt", tmp_path / "untested" / "mask")
    config = EvaluateConfig(model=str(model), out="report", root="untested", layout="folder", polarity="blur")
    with pytest.raises(DatasetError, match=r"untested: .*\n.*no photos in split 'test'"):
        evaluate(config)


def test_the_report_shows_how_the_model_was_trained(model: Path, prepared: Path, tmp_path: Path) -> None:
    trained = shutil.copytree(model, tmp_path / "trained")
    history = [{"epoch": 1, "train/loss": 2.0, "val/mae": 0.3}, {"epoch": 2, "train/loss": 1.0, "val/mae": 0.2}]
    (trained / "history.json").write_text(json.dumps(history))
    found = evaluate(EvaluateConfig(model=str(trained), out="report", prepared=str(prepared)))
    assert json.loads(found.files["metrics"].read_text())["history"] == history
    (trained / "history.json").write_text("[{")
    with pytest.raises(CheckpointError, match=r"history\.json: is damaged .* delete it"):
        evaluate(EvaluateConfig(model=str(trained), out="report", prepared=str(prepared)))


def test_where_the_report_cannot_go_is_noticed_before_measuring(model: Path, prepared: Path) -> None:
    Path("report").touch()
    heard: list[int] = []
    with pytest.raises(ConfigError, match=r"out: report cannot be made a folder \(File exists\)"):
        evaluate(
            EvaluateConfig(model=str(model), out="report", prepared=str(prepared)),
            on_photo=lambda done, total: heard.append(done),
        )
    assert heard == []
