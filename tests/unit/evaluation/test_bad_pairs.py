"""What cannot be measured is said in full, harms no other split, and leads to no report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dbd_ray.config import EvaluateConfig
from dbd_ray.errors import DatasetError
from dbd_ray.evaluation.run import Evaluation, evaluate


@pytest.fixture
def own(native: Path, tmp_path: Path) -> Path:
    """The labelled photos, to be damaged."""
    return Path(shutil.copytree(native, tmp_path / "cuhk"))


def _names(root: Path, *, test: bool) -> list[str]:
    tests = (root / "test.txt").read_text().split()
    return sorted(tests if test else {path.name for path in (root / "image").iterdir()} - set(tests))


def _evaluate(model: Path, on_photo: Any = lambda done, total: None, **settings: Any) -> Evaluation:
    config = EvaluateConfig(model=str(model), out="report", device="cpu", batch_size=2, **settings)
    return evaluate(config, on_photo=on_photo)


def test_a_bad_training_photo_does_not_keep_the_test_photos_from_being_measured(model: Path, own: Path) -> None:
    (own / "image" / _names(own, test=False)[0]).write_bytes(b"no photo")
    found = _evaluate(model, root=str(own))
    assert json.loads(found.files["metrics"].read_text())["images"] == len(_names(own, test=True))
    with pytest.raises(DatasetError, match="not_an_image"):
        _evaluate(model, root=str(own), split="train")


def test_all_bad_pairs_of_the_split_are_listed_and_no_report_is_written(model: Path, own: Path) -> None:
    photo, mask = own / "image" / _names(own, test=True)[3], own / "gt" / f"{Path(_names(own, test=True)[5]).stem}.png"
    photo.write_bytes(b"no photo")
    mask.write_bytes(mask.read_bytes()[:100])
    with pytest.raises(DatasetError) as caught:
        _evaluate(model, root=str(own))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [str(photo), str(mask)]
    assert not list(Path("report").iterdir())


def test_a_photo_that_goes_away_while_others_are_measured_is_not_passed_over(model: Path, own: Path) -> None:
    last = own / "image" / _names(own, test=True)[-1]
    with pytest.raises(DatasetError, match=f"{last}: cannot be read"):
        _evaluate(model, lambda done, total: last.unlink(missing_ok=True), root=str(own))


def test_bad_rows_of_a_prepared_split_are_listed_with_their_ids(model: Path, prepared: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    table = pq.read_table(own / "parts-1" / "part.parquet")
    rows = table.to_pylist()
    bad = [row for row in rows if row["split"] == "test"][1:3]
    bad[0]["image"] = b"no photo"
    bad[1]["mask"] = b""
    pq.write_table(table.from_pylist(rows, schema=table.schema), own / "parts-1" / "part.parquet")
    with pytest.raises(DatasetError) as caught:
        _evaluate(model, prepared=str(own))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [f"row {row['id']}" for row in bad]
    assert not list(Path("report").iterdir())
    assert _evaluate(model, prepared=str(own), split="val").metrics["mae"] >= 0


@pytest.mark.parametrize(
    ("split", "layout", "expected"), [("test", "cuhk", True), ("train", "cuhk", False), ("test", "folder", False)]
)
def test_published_results_stand_only_beside_the_test_photos_of_their_set(
    model: Path, own: Path, split: str, layout: str, expected: bool
) -> None:
    """Also where a folder of one's own is called like the set."""
    more = {}
    if layout == "folder":
        (own / "gt").rename(own / "mask")
        more = {"polarity": "blur"}
    found = _evaluate(model, root=str(own), split=split, layout=layout, **more)
    written = json.loads(found.files["metrics"].read_text())
    assert (written["dataset"], written["split"]) == ("cuhk", split)
    assert f"tiny on cuhk, {split} split" in found.files["html"].read_text()
    assert ("published results" in found.files["markdown"].read_text()) is expected
