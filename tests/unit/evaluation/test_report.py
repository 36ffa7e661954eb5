"""Promises of the report: its files agree, stand alone, show the true worst cases, and trust no name."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dbd_ray.errors import ConfigError
from dbd_ray.evaluation import (
    PUBLISHED,
    EvaluatedPhoto,
    Report,
    comparison_rows,
    keep_worst,
    pr_curve_chart,
    reliability_chart,
    thumbnail,
    write_report,
)
from dbd_ray.metrics import METRIC_DEFINITIONS, METRIC_NAMES, FocusMetrics

EVIL = '<b>x</b>|"../../$a$'


class Page(HTMLParser):
    """Collects what a page refers to, the tags it holds and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def evaluated(metrics: FocusMetrics, photo_id: str, noise: float, seed: int) -> EvaluatedPhoto:
    rng = np.random.default_rng(seed)
    truth = np.zeros((60, 80), bool)
    truth[20:45, 15:50] = True
    focus = (truth * (1 - noise) + noise * rng.random(truth.shape)).astype(np.float32)
    photo = rng.integers(0, 256, (60, 80, 3), np.uint8)
    return EvaluatedPhoto(photo_id, metrics.update(focus, truth), photo, truth, focus)


@pytest.fixture
def report(history: list[dict[str, float]]) -> Report:
    metrics, photos = FocusMetrics(), []
    per_image: list[dict[str, Any]] = []
    worst: list[EvaluatedPhoto] = []
    for seed, noise in enumerate((0.1, 0.9, 0.3, 0.7, 0.2)):
        photo = evaluated(metrics, EVIL if noise == 0.7 else f"photo{seed}", noise, seed)
        photos.append(photo)
        per_image.append({"id": photo.id, **photo.values})
        worst = keep_worst(worst, photo, limit=2)
    return Report(
        title="Tiny <i>model</i>",
        dataset="cuhk",
        split="test",
        model={"name": "tiny & small", "parameters": "1,234"},
        metrics=metrics.compute(),
        curve=metrics.curve(),
        reliability=metrics.reliability(),
        per_image=per_image,
        examples=photos[:2],
        worst=worst,
        history=history,
        settings={"optimizer": {"lr": 0.005, "betas": (0.9, 0.99)}, "data": Path("some/<folder>")},
    )


def test_every_file_is_written_and_named(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path / "new" / "folder")
    assert set(paths) == {"metrics", "per_image", "pr_curve", "reliability", "markdown", "html", "worst"}
    assert all(path.exists() for path in paths.values())
    assert {p.name for p in (tmp_path / "new" / "folder").iterdir()} == {p.name for p in paths.values()}


def test_json_markdown_and_page_show_the_same_values(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    stored = json.loads(paths["metrics"].read_text())
    assert stored["metrics"] == {name: report.metrics[name] for name in METRIC_NAMES}
    assert stored["pr_curve"]["recall"] == report.curve.recall.tolist()
    assert stored["settings"]["optimizer"]["betas"] == [0.9, 0.99]
    page = Page(paths["html"].read_text())
    markdown = paths["markdown"].read_text()
    for name, value in stored["metrics"].items():
        assert re.search(rf"{name}\s*[↑↓]\s*{value:.4f}\s*{re.escape(METRIC_DEFINITIONS[name][:20])}", page.text)
        assert re.search(rf"\| `{name}` [↑↓] \| {value:.4f} \|", markdown)
    assert f"{stored['metrics']['mae']:.4f}MAE" in re.sub(r"\s+", "", page.text)


def test_the_page_needs_no_other_file_and_no_host(report: Report, tmp_path: Path) -> None:
    text = write_report(report, tmp_path)["html"].read_text()
    page = Page(text)
    assert len(page.references) == 6 + 4 * 4  # three charts in two modes, two examples and two worst cases
    assert all(reference.startswith("data:image/") for reference in page.references)
    assert "script" not in page.tags
    assert "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text


def test_names_are_text_wherever_they_appear(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    page = Page(paths["html"].read_text())
    assert "i" not in page.tags
    assert EVIL in page.text
    assert "some/<folder>" in page.text
    assert "<b>x" not in paths["html"].read_text()
    assert "<b>x" not in paths["markdown"].read_text()
    assert all(p.resolve().parent == paths["worst"].resolve() for p in paths["worst"].iterdir())
    ElementTree.fromstring(paths["pr_curve"].read_text())


def test_the_worst_are_the_worst_by_mae(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    with paths["per_image"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_mae = sorted(rows, key=lambda row: float(row["mae"]), reverse=True)
    assert [photo.id for photo in report.worst] == [row["id"] for row in by_mae[:2]] == ["photo1", EVIL]
    assert [p.name for p in sorted(paths["worst"].iterdir())] == ["01_photo1.png", "02_b_x_b_.._.._a.png"]
    section = paths["html"].read_text().split("Worst cases")[1]
    assert section.index("photo1") < section.index("&lt;b&gt;x")


def test_every_form_of_the_report_names_the_worst_tenth_and_its_mean(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    stored = json.loads(paths["metrics"].read_text())
    assert stored["worst_tenth"] == ["photo1"]  # one of five
    worst = next(row for row in report.per_image if row["id"] == "photo1")
    assert stored["metrics"]["mae_worst_tenth"] == pytest.approx(worst["mae"])
    said = f"1 of 5 photos, mean MAE {worst['mae']:.4f}"
    assert said in paths["markdown"].read_text()
    section = paths["html"].read_text().split("<h2>Worst tenth</h2>")[1].split("</section>")[0]
    assert said in section and "photo1" in section and "photo2" not in section


def test_the_reliability_curve_is_stored_and_drawn_with_its_expected_error(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    stored = json.loads(paths["metrics"].read_text())["reliability"]
    assert stored["pixels"] == report.reliability.pixels.tolist()
    assert [value is None for value in stored["actual"]] == [count == 0 for count in stored["pixels"]]
    svg = paths["reliability"].read_text()
    assert svg == reliability_chart({"tiny & small": report.reliability})
    ElementTree.fromstring(svg)
    assert f"expected error {report.metrics['ece']:.3f}" in svg
    assert "a$b$" in reliability_chart({"a$b$": report.reliability}, dark=True)


def test_photos_that_are_not_the_worst_are_refused_as_such(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose them by keep_worst"):
        write_report(replace(report, worst=report.examples), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_metric_is_named(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks mae"):
        write_report(replace(report, metrics={k: v for k, v in report.metrics.items() if k != "mae"}), tmp_path)


def test_a_worst_case_picture_shows_photo_truth_prediction_and_error(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    photo = report.worst[0]
    with Image.open(paths["worst"] / "01_photo1.png") as picture:
        strip = np.asarray(picture)
    assert strip.shape == (60, 4 * 80 + 3 * 6, 3)
    assert np.array_equal(strip[:, :80], photo.photo)
    assert np.array_equal(strip[:, 86:166, 0] > 127, photo.truth > 127)
    assert np.array_equal(strip[:, 172:252, 0], np.rint(photo.focus * 255))
    error = np.abs(photo.focus - (photo.truth > 127))
    brightness = strip[:, 258:].astype(int).sum(2)
    assert brightness[error > 0.7].min() > brightness[error < 0.3].max()


def test_a_second_report_replaces_the_first_and_leaves_other_files_alone(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    (tmp_path / "worst" / "mine.png").write_bytes(b"kept")
    paths = write_report(replace(report, title="Second", worst=report.worst[:1]), tmp_path)
    assert sorted(p.name for p in paths["worst"].iterdir()) == ["01_photo1.png", "mine.png"]
    assert paths["html"].read_text().count("Second") == 2
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".new"]


def test_every_form_of_the_report_names_the_split(report: Report, tmp_path: Path) -> None:
    paths = write_report(replace(report, split="val"), tmp_path)
    assert json.loads(paths["metrics"].read_text())["split"] == "val"
    assert "5 photos of cuhk, val split" in paths["markdown"].read_text()
    assert "5 photos of cuhk, val split" in paths["html"].read_text()


def test_published_results_appear_only_where_asked_and_for_the_sets_they_were_measured_on(
    report: Report, tmp_path: Path
) -> None:
    for compare_with, expected in (("cuhk", True), ("dut", True), ("rendered", False), (None, False)):
        paths = write_report(replace(report, compare_with=compare_with), tmp_path)
        assert ("published results" in paths["html"].read_text()) is expected
        assert ("published results" in paths["markdown"].read_text()) is expected
    assert comparison_rows("rendered", report.metrics) == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_published_results_of_test_photos_are_not_set_beside_others(report: Report, tmp_path: Path, split: str) -> None:
    with pytest.raises(ValueError, match="published results are of test photos"):
        write_report(replace(report, split=split, compare_with="cuhk"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_comparison_takes_the_right_column_and_marks_us_once(report: Report) -> None:
    for dataset, best in (("cuhk", (0.927, 0.042)), ("dut", (0.891, 0.073))):
        rows = comparison_rows(dataset, report.metrics, "tiny")
        assert len(rows) == len(PUBLISHED) + 1
        assert [(r.f_beta, r.mae) for r in rows if r.method == "Depth distillation, ResNeXt-101"] == [best]
        (ours,) = [row for row in rows if row.ours]
        assert (ours.method, ours.mae) == ("tiny", report.metrics["mae"])
        assert ours.f_beta == report.metrics["f_adaptive_pooled_dd_notebook"]
        known = [row.mae for row in rows if row.mae is not None]
        assert known == sorted(known)
        assert [row.mae for row in rows[len(known) :]] == [None, None]


def test_an_unusual_report_is_complete_without_history_examples_or_settings(report: Report, tmp_path: Path) -> None:
    bare = replace(report, examples=(), worst=(), history=None, settings=None, dataset="mine")
    text = write_report(bare, tmp_path)["html"].read_text()
    assert "Training" not in text and "Worst cases" not in text and "Settings" not in text


def test_values_that_json_cannot_hold_become_null(report: Report, tmp_path: Path) -> None:
    history: list[dict[str, Any]] = [{"epoch": 1, "train/loss": float("nan"), "val/mae": np.float32(0.25)}]
    stored = json.loads(write_report(replace(report, history=history), tmp_path)["metrics"].read_text())
    assert stored["history"] == [{"epoch": 1, "train/loss": None, "val/mae": 0.25}]


def test_the_curve_chart_names_each_curve_literally_with_its_best_f(report: Report) -> None:
    best = report.metrics["f_max_of_mean_curve"]
    svg = pr_curve_chart({"a$b$ <c>": report.curve, "other": report.curve})
    texts = ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter()]
    assert any(text.startswith(f"a$b$ <c>: best F {best:.3f}") for text in texts)
    assert any(text.startswith("other: best F") for text in texts)
    assert svg == pr_curve_chart({"a$b$ <c>": report.curve, "other": report.curve})


def test_keeping_the_worst_holds_no_more_and_no_larger_than_asked() -> None:
    metrics = FocusMetrics()
    worst: list[EvaluatedPhoto] = []
    for seed, noise in enumerate((0.2, 0.8, 0.4, 0.6, 0.1)):
        photo = evaluated(metrics, str(noise), noise, seed)
        big = replace(photo, photo=np.zeros((600, 800, 3), np.uint8))
        worst = keep_worst(worst, big, limit=3)
        assert len(worst) <= 3
    assert [photo.id for photo in worst] == ["0.8", "0.6", "0.4"]
    assert {p.photo.shape for p in worst} == {(300, 400, 3)}
    assert {p.focus.shape for p in worst} == {p.truth.shape for p in worst} == {(300, 400)}
    assert keep_worst([], photo, limit=0) == []


def test_a_thumbnail_is_never_larger_than_the_photo() -> None:
    photo = evaluated(FocusMetrics(), "small", 0.5, 0)
    small = thumbnail(photo)
    assert np.array_equal(small.photo, photo.photo)
    assert np.array_equal(small.truth > 127, photo.truth)
    np.testing.assert_array_equal(small.focus, photo.focus)


@pytest.mark.parametrize("name", ["metrics.json", "report.md", "worst"])
def test_a_file_that_is_no_report_is_not_replaced(report: Report, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"metrics": "of another program"}')
    with pytest.raises(ConfigError, match=f"holds {name}, but no report .* choose another folder"):
        write_report(report, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "another program" in (tmp_path / name).read_text()


def test_a_report_that_was_interrupted_is_replaced(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path)
    for name in ("per_image", "pr_curve", "markdown", "html"):
        paths[name].unlink()
    assert all(path.exists() for path in write_report(report, tmp_path).values())
