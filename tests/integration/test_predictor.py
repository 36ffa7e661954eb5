"""The detector as a stage of other people's Ray Data pipelines."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from PIL import Image

from dbd_ray import Detector, FocusPredictor
from dbd_ray.errors import ConfigError
from dbd_ray.images.decode import decode_photo

pytestmark = pytest.mark.ray

SIZE = (64, 64)
ADDED = {
    "focus",
    "focus_kind",
    "in_focus_fraction",
    "sharp_left",
    "sharp_top",
    "sharp_right",
    "sharp_bottom",
    "focus_confidence",
    "focus_model",
    "error",
}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> str:
    return str(tiny_model)


@pytest.fixture(scope="module")
def detector(model: str) -> Detector:
    return Detector.load(model, device="cpu")


@pytest.fixture(scope="module")
def photos(cuhk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five real photos of mixed sizes, and between them one that is broken."""
    folder = tmp_path_factory.mktemp("photos")
    for source in sorted((cuhk / "image").iterdir())[:5]:
        shutil.copy(source, folder)
    whole = (folder / "out_of_focus0002.jpg").read_bytes()
    (folder / "out_of_focus0002-broken.jpg").write_bytes(whole[: len(whole) // 2])
    assert len({decode_photo(path.read_bytes()).shape for path in folder.glob("*0???.jpg")}) > 1
    return folder


def _bytes_batch(*photos: bytes | None) -> dict[str, np.ndarray]:
    batch = np.empty(len(photos), dtype=object)
    batch[:] = photos
    return {"bytes": batch, "path": np.array([f"{i}.jpg" for i in range(len(photos))])}


def _levels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(float)


def _check(row: dict[str, Any], photo: np.ndarray, detector: Detector) -> None:
    found = detector.detect([photo])[0]
    np.testing.assert_allclose(_levels(row["focus"]) / 255, found.focus, atol=1 / 255)
    assert row["error"] is None
    assert row["focus_kind"] == found.summary.kind
    assert row["in_focus_fraction"] == pytest.approx(found.summary.in_focus_fraction, abs=1e-3)
    assert row["focus_confidence"] == pytest.approx(found.summary.confidence, abs=1e-3)
    assert row["focus_model"] == f"tiny@{detector.card.fingerprint[:16]}"
    assert 0 <= row["sharp_left"] < row["sharp_right"] <= photo.shape[1]
    assert 0 <= row["sharp_top"] < row["sharp_bottom"] <= photo.shape[0]


def test_a_dataset_of_files_gets_its_focus_columns_and_only_the_broken_photo_an_error(
    local_ray: None, model: str, detector: Detector, photos: Path
) -> None:
    found = ray.data.read_binary_files(str(photos), include_paths=True).map_batches(
        FocusPredictor,
        fn_constructor_kwargs={"model": model, "device": "cpu"},
        batch_size=4,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2),
    )
    rows = {Path(row["path"]).name: row for row in found.take_all()}
    assert rows.keys() == {path.name for path in photos.iterdir()}
    for path in photos.iterdir():
        row = rows[path.name]
        assert row.keys() == {"path", "bytes"} | ADDED
        assert row["bytes"] == path.read_bytes()
        if "broken" in path.name:
            assert row["error"].endswith("[truncated]")
            assert (row["focus"], row["focus_kind"], row["focus_model"]) == (b"", "", "")
            assert np.isnan([row["in_focus_fraction"], row["focus_confidence"]]).all()
            assert [row[f"sharp_{side}"] for side in ("left", "top", "right", "bottom")] == [-1] * 4
        else:
            _check(row, decode_photo(path.read_bytes()), detector)


def test_parquet_is_alike_in_every_part_even_where_all_photos_failed_or_none_is_left(
    local_ray: None, model: str, detector: Detector, photos: Path, tmp_path: Path
) -> None:
    good = [path for path in sorted(photos.iterdir()) if "broken" not in path.name]
    items = [{"photo": path.read_bytes(), "name": path.name} for path in good[:2]]
    items += [{"photo": b"no photo", "name": f"failed-{number}"} for number in range(2)]
    items += [{"photo": b"", "name": f"dropped-{number}"} for number in range(2)]
    dataset = ray.data.from_items(items, override_num_blocks=3)
    kept = dataset.map_batches(_without_dropped, batch_format="pandas", batch_size=2)
    found = kept.map_batches(
        FocusPredictor,
        fn_constructor_kwargs={"model": model, "device": "cpu", "column": "photo", "drop_photo": True},
        batch_size=2,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    found.write_parquet(str(tmp_path / "out"))
    parts = sorted((tmp_path / "out").glob("*.parquet"))
    schemas = {_plain(pq.read_schema(part)) for part in parts}
    assert (len(parts), len(schemas)) == (2, 1)
    rows = {row["name"]: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert rows.keys() == {item["name"] for item in items if not str(item["name"]).startswith("dropped")}
    assert all("photo" not in row for row in rows.values())
    for path in good[:2]:
        _check(rows[path.name], decode_photo(path.read_bytes()), detector)
    assert rows["failed-0"]["error"].endswith("[not_an_image]")


def test_arrays_of_mixed_sizes_are_photos_as_well(
    local_ray: None, model: str, detector: Detector, photos: Path
) -> None:
    good = [path for path in sorted(photos.iterdir()) if "broken" not in path.name]
    found = ray.data.read_images([str(path) for path in good], include_paths=True, mode="RGB").map_batches(
        FocusPredictor,
        fn_constructor_kwargs={"model": model, "device": "cpu", "drop_photo": True},
        batch_size=4,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    rows = {Path(row["path"]).name: row for row in found.take_all()}
    assert rows.keys() == {path.name for path in good}
    for path in good:
        with Image.open(path) as photo:
            _check(rows[path.name], np.array(photo), detector)


def test_a_dataset_without_rows_stays_one(local_ray: None, model: str) -> None:
    nothing = ray.data.from_items([{"bytes": b"x"}]).filter(lambda row: False)
    found = nothing.map_batches(
        FocusPredictor,
        fn_constructor_kwargs={"model": model, "device": "cpu"},
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    assert found.take_all() == []


def test_an_empty_batch_has_the_columns_and_types_of_a_full_one(model: str, photos: Path) -> None:
    predictor = FocusPredictor(model, device="cpu")
    full = predictor(_bytes_batch(next(photos.glob("*0001.jpg")).read_bytes()))
    failed = predictor(_bytes_batch(b"", None))
    empty = predictor({name: values[:0] for name, values in _bytes_batch(b"").items()})
    assert list(empty) == list(failed) == list(full)
    for name in ADDED:
        kinds = {pa.array(batch[name]).type for batch in (full, failed)}
        assert len(kinds) == 1, name
        assert len(empty[name]) == 0


def test_the_column_is_found_by_its_usual_names_or_named(model: str, photos: Path) -> None:
    photo = next(photos.glob("*0001.jpg")).read_bytes()
    batch = _bytes_batch(photo)
    named = {"scan": batch["bytes"], "bytes": np.array([3])}
    assert FocusPredictor(model, device="cpu")(batch)["error"].tolist() == [None]
    assert FocusPredictor(model, device="cpu", column="scan")(named)["error"].tolist() == [None]
    image = {"image": decode_photo(photo)[None]}
    assert FocusPredictor(model, device="cpu")(image)["error"].tolist() == [None]
    with pytest.raises(ConfigError, match="no column 'bytes or image' among scan; say which one"):
        FocusPredictor(model, device="cpu")({"scan": batch["bytes"]})
    with pytest.raises(ConfigError, match="no column 'picture' among bytes, path"):
        FocusPredictor(model, device="cpu", column="picture")(batch)


def test_dropping_the_photo_keeps_every_other_column(model: str, photos: Path) -> None:
    batch = _bytes_batch(next(photos.glob("*0001.jpg")).read_bytes())
    assert FocusPredictor(model, device="cpu", drop_photo=True)(batch).keys() == {"path"} | ADDED
    assert FocusPredictor(model, device="cpu")(batch).keys() == {"path", "bytes"} | ADDED


def test_what_is_no_photo_gets_its_reason_in_its_own_row(model: str, photos: Path) -> None:
    photo = next(photos.glob("*0001.jpg")).read_bytes()
    values = [photo, None, b"", "path/to.jpg", np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.float32), photo]
    batch = np.empty(len(values), dtype=object)
    batch[:] = values
    found = FocusPredictor(model, device="cpu")({"bytes": batch})
    assert [(error or "").rpartition("[")[2].rstrip("]") for error in found["error"]] == [
        "",
        "empty_file",
        "empty_file",
        "not_an_image",
        "not_an_image",
        "not_an_image",
        "",
    ]
    assert "got uint8 array of shape (4, 4, 2)" in found["error"][4]
    assert found["focus"][0] == found["focus"][6] != b""


def test_batches_larger_than_one_pass_come_back_whole_and_in_order(
    model: str, detector: Detector, photos: Path
) -> None:
    paths = sorted(photos.iterdir()) * 3
    found = FocusPredictor(model, device="cpu")(_bytes_batch(*(path.read_bytes() for path in paths)))
    assert [bool(error) for error in found["error"]] == ["broken" in path.name for path in paths]
    for start in (6, 12):
        for first, again in zip(found["focus"][:6], found["focus"][start : start + 6], strict=True):
            if first:
                np.testing.assert_allclose(_levels(first), _levels(again), atol=1)


def test_no_column_of_the_dataset_is_overwritten_and_a_prefix_gives_other_names(model: str, photos: Path) -> None:
    batch = _bytes_batch(next(photos.glob("*0001.jpg")).read_bytes())
    batch |= {"focus": np.array(["mine"]), "sharp_top": np.array([7])}
    with pytest.raises(ConfigError, match=r"columns focus, sharp_top already, .* fn_constructor_kwargs=\{'prefix': "):
        FocusPredictor(model, device="cpu")(batch)
    found = FocusPredictor(model, device="cpu", prefix="dbd_")(batch)
    assert found.keys() == batch.keys() | {name if name == "error" else f"dbd_{name}" for name in ADDED}
    assert (found["focus"].tolist(), found["sharp_top"].tolist()) == (["mine"], [7])
    assert found["dbd_focus_kind"][0] in ("all_in_focus", "partial", "none_in_focus")


def test_a_row_that_failed_before_is_skipped_and_keeps_its_error(model: str, photos: Path) -> None:
    photo = next(photos.glob("*0001.jpg")).read_bytes()
    batch = _bytes_batch(photo, photo, None, photo, b"")
    batch["error"] = np.array(["", "was moved", "never came", None, float("nan")], dtype=object)
    found = FocusPredictor(model, device="cpu")(batch)
    assert found["error"][:4].tolist() == [None, "was moved", "never came", None]
    assert found["error"][4].endswith("[empty_file]")
    assert [bool(focus) for focus in found["focus"]] == [True, False, False, True, False]
    with pytest.raises(ConfigError, match="column error holds no text and would be overwritten; rename it"):
        FocusPredictor(model, device="cpu")(batch | {"error": np.arange(5)})


def test_a_photo_beyond_the_pixel_limit_gets_an_error_that_names_the_argument(model: str, photos: Path) -> None:
    photo = next(photos.glob("*0001.jpg")).read_bytes()
    height, width, _ = decode_photo(photo).shape
    for limit, failed in ((height * width, False), (height * width - 1, True)):
        (error,) = FocusPredictor(model, device="cpu", max_pixels=limit)(_bytes_batch(photo))["error"]
        assert (error is not None and "raise max_pixels" in error and error.endswith("[too_many_pixels]")) is failed


def test_refinement_is_passed_on(model: str, detector: Detector, photos: Path) -> None:
    path = next(photos.glob("*0001.jpg"))
    found = FocusPredictor(model, device="cpu", refine="bilinear")(_bytes_batch(path.read_bytes()))
    expected = detector.detect([decode_photo(path.read_bytes())], refine="bilinear")[0].focus
    np.testing.assert_allclose(_levels(found["focus"][0]) / 255, expected, atol=1 / 255)


def _without_dropped(batch: Any) -> Any:
    return batch[~batch["name"].str.startswith("dropped")]


def _plain(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, str(field.type)) for field in schema)
