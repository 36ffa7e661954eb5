import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from dbd_ray.config import PrepareConfig
from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.prepare import prepare_from, prepare_photos, prepare_scenes, with_validation_split
from dbd_ray.datasets.prepared import SCHEMA, read_info, read_rows
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth, decode_mask, encode_photo

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
SIZE = (32, 48)
SCENES = SceneConfig(size=(48, 64))


def _photo(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (60 + index, 90, 3), dtype=np.uint8)


def _mask(index: int) -> np.ndarray:
    mask = np.zeros((60 + index, 90), np.uint8)
    mask[:, : 30 + 5 * index] = 255
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos with masks whose white means in focus; the last one is for testing."""
    root = tmp_path / "some photos"
    (root / "image").mkdir(parents=True)
    (root / "mask").mkdir()
    for index in range(6):
        (root / "image" / f"p{index}.png").write_bytes(encode_photo(_photo(index), format="png"))
        cv2.imwrite(str(root / "mask" / f"p{index}.png"), _mask(index))
    (root / "test.txt").write_text("p5.png\n")
    return root


def _scan(folder: Path, polarity: str = "focus") -> list[LabelledPhoto]:
    photos, problems = scan_layout(str(folder), "folder", polarity=polarity)  # type: ignore[arg-type]
    assert not problems
    return photos


def _everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_row_is_counted_while_it_is_made(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    settings = PrepareConfig(root=str(folder), layout="folder", polarity="focus", out=str(tmp_path / "out"), size=SIZE)
    prepare_from(settings, on_row=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
    prepare_scenes(70, tmp_path / "scenes", config=SCENES, on_row=lambda done, total: told.append((done, total)))
    of_scenes = told[1:]
    assert len(of_scenes) > 1 and of_scenes == sorted(of_scenes) and of_scenes[-1] == (70, 70)


def test_labelled_photos_become_the_parquet_of_the_contract(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = prepare_photos(_scan(folder), out, input_size=SIZE, validation_fraction=0.2)
    assert info == read_info(out)
    assert (info.input_size, info.rows) == (SIZE, {"train": 4, "val": 1, "test": 1})
    assert (info.sources, info.depth_rows) == ({"some photos": 6}, 0)

    table = pq.read_table(out / info.parts).sort_by("id")  # plain pyarrow, nothing of ours
    assert [(field.name, field.type) for field in table.schema] == [(field.name, field.type) for field in SCHEMA]
    assert table["id"].to_pylist() == [f"p{index}" for index in range(6)]
    assert table["split"].to_pylist()[5] == "test"
    assert set(table["width"].to_pylist()) == {48}
    assert set(table["height"].to_pylist()) == {32}
    assert table["depth"].null_count == table["depth_teacher"].null_count == 6
    for index, row in enumerate(table.to_pylist()):
        assert row["uri"] == str(folder / "image" / f"p{index}.png")
        assert row["digest"] == hashlib.sha256(row["image"]).hexdigest()[:16]
        photo = decode_photo(row["image"])
        expected = cv2.resize(_photo(index), SIZE[::-1], interpolation=cv2.INTER_AREA)
        assert photo.shape == (*SIZE, 3)
        assert np.abs(photo.astype(int) - expected).mean() < 4
        focus = decode_mask(row["mask"], polarity="focus")
        np.testing.assert_allclose(focus, cv2.resize(_mask(index), SIZE[::-1], interpolation=cv2.INTER_AREA), atol=1)
    total = sum(len(row["image"]) + len(row["mask"]) for row in table.to_pylist())
    assert info.image_bytes == pytest.approx(total, rel=0.2)


def test_masks_whose_white_means_blurred_are_turned_round(folder: Path, tmp_path: Path) -> None:
    prepare_photos(_scan(folder, "blur"), tmp_path / "out", input_size=SIZE, validation_fraction=0)
    rows = read_rows(tmp_path / "out", "train").to_pylist()
    assert len(rows) == 5
    for row in rows:
        focus = decode_mask(row["mask"], polarity="focus")
        assert focus[:, 0].max() == 0
        assert focus[:, -1].min() == 255


def test_every_problem_is_listed_at_once_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    photos = _scan(folder)
    (folder / "image" / "p0.png").write_bytes(b"not a picture")
    (folder / "image" / "p1.png").unlink()
    cv2.imwrite(str(folder / "mask" / "p2.png"), np.zeros((62, 90), np.uint8))
    cv2.imwrite(str(folder / "mask" / "p3.png"), _mask(0))
    with pytest.raises(DatasetError) as error:
        prepare_photos(photos, tmp_path / "out", problems=["found by name"])
    problems = error.value.problems
    assert len(problems) == 5
    for expected in ("found by name", "p0.png", "p1.png", "p2.png: empty mask", "p3.png: the mask is 90x60"):
        assert any(expected in problem for problem in problems), expected
    assert not (tmp_path / "out").exists()


def test_constant_masks_are_accepted_where_they_are_meant(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(folder / "mask" / "p2.png"), np.full((62, 90), 255, np.uint8))
    config = PrepareConfig(root=str(folder), layout="folder", polarity="focus", out=str(tmp_path / "out"), size=SIZE)
    with pytest.raises(DatasetError, match=r"p2\.png: empty mask"):
        prepare_from(config)
    info = prepare_from(config.model_copy(update={"allow_constant_masks": True}))
    assert sum(info.rows.values()) == 6


def test_sharp_photos_are_prepared_without_those_left_out_and_unknown_ids_are_listed(
    bsds500: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        (tmp_path / "sharp" / split).mkdir(parents=True)
        for photo in sorted((bsds500 / split).iterdir())[:3]:
            shutil.copy(photo, tmp_path / "sharp" / split)
    ids = [photo.id for photo in scan_layout(str(tmp_path / "sharp"), "sharp")[0]]
    config = PrepareConfig(
        root=str(tmp_path / "sharp"), layout="sharp", out=str(tmp_path / "out"), size=SIZE, validation_fraction=0
    )
    with pytest.raises(DatasetError) as error:
        prepare_from(config.model_copy(update={"exclude": (ids[0], "train_x"), "inverted": ("y",)}))
    assert list(error.value.problems) == ["inverted: no photo y; remove it", "exclude: no photo train_x; remove it"]
    assert not (tmp_path / "out").exists()

    info = prepare_from(config.model_copy(update={"exclude": (ids[0], ids[-1])}))
    assert (info.rows, info.sources) == ({"train": 2, "test": 2}, {"sharp": 4})
    rows = [row for split in ("train", "test") for row in read_rows(tmp_path / "out", split).to_pylist()]
    assert sorted(row["id"] for row in rows) == ids[1:-1]
    assert all((decode_mask(row["mask"], polarity="focus") == 255).all() for row in rows)


def test_no_usable_photo_is_an_error_with_the_problems_that_were_found(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no usable photo and mask pair") as error:
        prepare_photos([], tmp_path / "out", problems=["gt/: the folder is missing"])
    assert error.value.problems[0] == "gt/: the folder is missing"


def test_a_failed_preparation_keeps_the_old_dataset_and_a_good_one_replaces_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    photos = _scan(folder)
    old = prepare_photos(photos, out, input_size=SIZE)
    before = _everything_in(out)
    (folder / "mask" / "p4.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"p4\.png"):
        prepare_photos(photos, out, input_size=SIZE)
    assert _everything_in(out) == before

    new = prepare_photos([photo for photo in photos if photo.id != "p4"], out, input_size=SIZE)
    assert new.parts != old.parts
    assert not (out / old.parts).exists()
    assert sum(len(read_rows(out, split)) for split in ("train", "val", "test")) == 5


def test_two_preparations_of_the_same_photos_are_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    photos = _scan(folder)
    one = prepare_photos(photos, tmp_path / "one", input_size=SIZE)
    # in another order, as another file system might list them
    two = prepare_photos(photos[::-1], tmp_path / "two", input_size=SIZE)
    assert two.fingerprint == one.fingerprint
    assert two.model_copy(update={"parts": one.parts}) == one
    cv2.imwrite(str(folder / "mask" / "p0.png"), _mask(0)[:, ::-1])
    assert prepare_photos(photos, tmp_path / "two", input_size=SIZE).fingerprint != one.fingerprint


def test_the_validation_split_depends_on_the_ids_alone() -> None:
    def photo(index: int) -> LabelledPhoto:
        split = "test" if index >= 80 else "train"
        return LabelledPhoto(f"p{index}", split, "s", f"i{index}", f"m{index}", "focus")  # type: ignore[arg-type]

    photos = [photo(index) for index in range(100)]
    chosen = {one.id for one in with_validation_split(photos, 0.25) if one.split == "val"}
    assert len(chosen) == 20
    assert {one.id for one in with_validation_split(photos[::-1], 0.25) if one.split == "val"} == chosen
    assert sum(one.split == "test" for one in with_validation_split(photos, 0.25)) == 20
    assert with_validation_split(photos, 0.0) == photos
    larger = {one.id for one in with_validation_split(photos, 0.5) if one.split == "val"}
    assert chosen < larger


def test_scenes_are_written_with_their_true_focus_and_depth(tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = prepare_scenes(6, out, config=SCENES, seed=3, validation_fraction=1 / 3, test_fraction=1 / 6)
    assert (info.rows, info.sources) == ({"val": 2, "test": 1, "train": 3}, {"rendered": 6})
    assert (info.depth_rows, info.input_size) == (6, (48, 64))
    rows = [row for split in ("train", "val", "test") for row in read_rows(out, split).to_pylist()]
    assert len({row["id"] for row in rows}) == 6
    for row in rows:
        scene = render_scene(int(row["id"].rsplit("-", 1)[1]), seed=3, config=SCENES)
        np.testing.assert_array_equal(decode_mask(row["mask"], polarity="focus") > 127, scene.focus > 0.5)
        np.testing.assert_allclose(decode_depth(row["depth"]), scene.depth, atol=1e-4)
        assert np.abs(decode_photo(row["image"]).astype(int) - scene.photo).mean() < 4
        assert row["depth_teacher"] == "rendered@thin-lens"
        assert row["uri"] is None
        assert row["digest"] == hashlib.sha256(row["image"]).hexdigest()[:16]


def test_scenes_are_cut_from_photos_and_the_same_seed_gives_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    config = PrepareConfig(
        scenes=3,
        photos=str(folder / "image"),
        out=str(tmp_path / "one"),
        size=(48, 64),
        seed=7,
        scene={"painted_share": 0},
    )
    one = prepare_from(config)
    two = prepare_from(config.model_copy(update={"out": str(tmp_path / "two")}))
    assert two.fingerprint == one.fingerprint
    painted = prepare_from(config.model_copy(update={"photos": None, "out": str(tmp_path / "painted")}))
    assert painted.fingerprint != one.fingerprint


def test_a_source_photo_that_cannot_be_used_is_listed_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    bad = folder / "image" / "p0.png"
    bad.write_bytes(bad.read_bytes()[:200])
    photos = [str(bad), str(folder / "image" / "absent.png")]
    with pytest.raises(DatasetError, match="a source photo cannot be used") as error:
        prepare_scenes(4, tmp_path / "out", config=SCENES, photo_uris=photos)
    assert 1 <= len(error.value.problems) <= 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("count", "validation", "test"), [(0, 0.1, 0.0), (-1, 0.1, 0.0), (4, 0.8, 0.3), (4, -0.1, 0.0), (4, 0.0, 1.5)]
)
def test_impossible_numbers_of_scenes_are_refused(tmp_path: Path, count: int, validation: float, test: float) -> None:
    with pytest.raises(ConfigError):
        prepare_scenes(count, tmp_path / "out", config=SCENES, validation_fraction=validation, test_fraction=test)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_an_impossible_share_of_photos_is_refused(folder: Path, tmp_path: Path, fraction: float) -> None:
    with pytest.raises(ConfigError, match="validation_fraction"):
        prepare_photos(_scan(folder), tmp_path / "out", validation_fraction=fraction)


def test_shares_that_are_both_rounded_up_make_no_more_scenes_than_asked_for(tmp_path: Path) -> None:
    info = prepare_scenes(3, tmp_path / "out", config=SCENES, validation_fraction=0.5, test_fraction=0.5)
    assert info.rows == {"val": 2, "test": 1}


def test_a_storage_that_nobody_knows_is_refused_before_anything_is_read(folder: Path) -> None:
    photos = _scan(folder)
    (folder / "image" / "p0.png").unlink()
    with pytest.raises(DatasetError, match="this kind of storage cannot be opened"):
        prepare_photos(photos, "nowhere://bucket/set", input_size=SIZE)


def test_the_dataset_says_of_itself_what_it_is_in_plain_json(folder: Path, tmp_path: Path) -> None:
    prepare_photos(_scan(folder)[:3], tmp_path / "out", input_size=SIZE)
    told = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert told["input_size"] == [32, 48]
    assert told["format_version"] == 1
