"""Nothing that we did not make, and no other photo's result, is ever replaced."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dbd_ray import Detector
from dbd_ray.config import PredictConfig
from dbd_ray.detection.files import Prediction, predict_files
from dbd_ray.names import RESULT_FILES, RESULT_SUFFIXES, ResultFile

OLD_FIELDS = ("path", "digest", "result_digest")  # that results of earlier versions have not


@pytest.fixture(scope="module")
def detector(tiny_depth_model: Path) -> Detector:
    return Detector.load(tiny_depth_model, device="cpu")


def _photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)).save(path)
    return path


def _contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _predict(detector: Detector, photo: Path, out: Path, **settings: object) -> Prediction:
    return predict_files(
        detector, [photo], PredictConfig.model_validate({"out": out, "save": RESULT_FILES, **settings})
    )[0]


def _as_by_an_earlier_version(out: Path, name: str) -> None:
    about = json.loads((out / f"{name}.json").read_text())
    (out / f"{name}.json").write_text(json.dumps({key: about[key] for key in about if key not in OLD_FIELDS}))
    for suffix in (".focus.png", ".overlay.jpg"):
        with Image.open(out / f"{name}{suffix}") as picture:
            pixels = picture.copy()
        Image.fromarray(np.asarray(pixels)).save(out / f"{name}{suffix}")


@pytest.mark.parametrize("result", RESULT_FILES)
def test_a_file_that_is_no_result_stays_and_stops_its_photo_alone(
    detector: Detector, tmp_path: Path, result: str
) -> None:
    photos = [_photo(tmp_path / "a.png"), _photo(tmp_path / "b.png", 1)]
    out = tmp_path / "out"
    out.mkdir()
    work = out / f"a.png{RESULT_SUFFIXES[result]}"  # type: ignore[index]
    work.write_text('{"version": "5.4.1", "shapes": [{"label": "hours of work"}]}')
    first, second = predict_files(detector, photos, PredictConfig(out=out, save=RESULT_FILES))
    assert str(first.error).startswith(f"{work} is there already")
    assert "--out" in str(first.error) and "--force" in str(first.error)
    assert (first.summary, first.files) == (None, ())
    assert second.error is None
    assert "hours of work" in work.read_text()
    assert {path.name for path in out.iterdir()} == {work.name, *(path.name for path in second.files)}


def test_force_replaces_what_is_there(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "a.png.json").write_text("{}")
    photo = _photo(tmp_path / "a.png")
    assert _predict(detector, photo, tmp_path, force=True).error is None
    assert json.loads((tmp_path / "a.png.json").read_text())["photo"] == str(photo)


@pytest.mark.parametrize("save", [("focus",), ("overlay",), ("depth",), ("json",)])
def test_photos_of_one_name_in_two_runs_keep_the_first_ones_results(
    detector: Detector, tmp_path: Path, save: tuple[str, ...]
) -> None:
    cameras = [_photo(tmp_path / f"cam{number}" / "0001.png", number) for number in (0, 1)]
    out = tmp_path / "masks"
    assert _predict(detector, cameras[0], out, save=save).error is None
    before = _contents(out)
    again = _predict(detector, cameras[1], out, save=save)
    assert f"of {cameras[0]}" in str(again.error)
    assert _contents(out) == before


def test_the_same_photo_replaces_its_results_whatever_way_it_is_named(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = _photo(tmp_path / "photos" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for name in (photo, Path("photos/a.png"), Path("link/a.png"), Path("photos/../photos/a.png")):
        assert _predict(detector, name, tmp_path / "out").error is None
    monkeypatch.chdir(photo.parent)
    _photo(photo, 7)  # edited, which is why it is looked at again
    assert _predict(detector, Path("a.png"), tmp_path / "out").error is None


def test_a_moved_photo_is_the_same_photo_and_a_copy_is_another(detector: Detector, tmp_path: Path) -> None:
    photo = _photo(tmp_path / "project" / "a.png")
    _predict(detector, photo, tmp_path / "project" / "out")
    (tmp_path / "project").rename(tmp_path / "moved")
    assert _predict(detector, tmp_path / "moved" / "a.png", tmp_path / "moved" / "out").error is None
    shutil.copytree(tmp_path / "moved", tmp_path / "copy")
    refused = _predict(detector, tmp_path / "copy" / "a.png", tmp_path / "copy" / "out")
    assert f"of {tmp_path / 'moved' / 'a.png'}" in str(refused.error)


def test_results_of_an_earlier_version_are_known_by_the_json_beside_them(detector: Detector, tmp_path: Path) -> None:
    photo, out = _photo(tmp_path / "a.png"), tmp_path / "out"
    for save in (("focus", "overlay", "json"), ("json", "focus", "overlay")):
        assert _predict(detector, photo, out, save=save).error is None
        _as_by_an_earlier_version(out, "a.png")
        assert _predict(detector, photo, out, save=save).error is None
    _as_by_an_earlier_version(out, "a.png")
    other = _photo(tmp_path / "other" / "a.png", 1)
    assert "is there already" in str(_predict(detector, other, out, save=("focus",)).error)
    (out / "a.png.json").unlink()
    assert "no unchanged result of this photo" in str(_predict(detector, photo, out, save=("focus",)).error)


def _repainted(path: Path) -> None:
    """Change a picture as programs do that keep all texts of a file."""
    with Image.open(path) as picture:
        pixels, about = np.asarray(picture), dict(picture.info)
    if path.suffix == ".jpg":
        Image.fromarray(255 - pixels).save(path, comment=about["comment"])
    else:
        text = PngInfo()
        text.add_text("dbd-ray", about["dbd-ray"])
        Image.fromarray(pixels.max() - pixels).save(path, pnginfo=text)


def _renamed_model(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "by hand"}, indent=2))


@pytest.mark.parametrize("result", RESULT_FILES)
def test_a_result_that_was_edited_elsewhere_stays(detector: Detector, tmp_path: Path, result: ResultFile) -> None:
    photo, out = _photo(tmp_path / "a.png"), tmp_path / "out"
    assert _predict(detector, photo, out).error is None
    edited = out / f"a.png{RESULT_SUFFIXES[result]}"
    _renamed_model(edited) if result == "json" else _repainted(edited)
    before = _contents(out)
    assert f"{edited} is there already, and no unchanged result" in str(_predict(detector, photo, out).error)
    assert _contents(out) == before


def test_a_result_in_json_may_be_laid_out_anew(detector: Detector, tmp_path: Path) -> None:
    photo, out = _photo(tmp_path / "a.png"), tmp_path / "out"
    assert _predict(detector, photo, out).error is None
    (out / "a.png.json").write_text(json.dumps(json.loads((out / "a.png.json").read_text()), sort_keys=True))
    assert _predict(detector, photo, out).error is None


def test_what_cannot_be_read_is_not_replaced(detector: Detector, tmp_path: Path) -> None:
    photo, out = _photo(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    for put in (
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/nowhere"),
        os.mkfifo,
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text("null"),
    ):
        put(out / "a.png.json")
        assert "a.png.json is there already" in str(_predict(detector, photo, out).error)
        assert [path.name for path in out.iterdir()] == ["a.png.json"]
        (out / "a.png.json").rmdir() if (out / "a.png.json").is_dir() else (out / "a.png.json").unlink()


def test_a_file_that_comes_while_the_photo_is_looked_at_is_kept(detector: Detector, tmp_path: Path) -> None:
    photos = [_photo(tmp_path / "a.png"), _photo(tmp_path / "b.png", 1)]
    out = tmp_path / "out"
    done = predict_files(
        detector,
        photos,
        PredictConfig(out=out, save=("focus",)),  # both are opened before the first one is finished
        on_photo=lambda one: (out / "b.png.focus.png").write_text("of another process"),
    )
    assert [bool(one.error) for one in done] == [False, True]
    assert (out / "b.png.focus.png").read_text() == "of another process"
    assert {path.name for path in out.iterdir()} == {"a.png.focus.png", "b.png.focus.png"}


def test_a_name_that_no_result_can_have_fails_its_photo_alone(detector: Detector, tmp_path: Path) -> None:
    names = ["a", "IMG_" + "x" * 240, "zebra", "東東", os.fsdecode(b"caf\xe9")]
    photos = [_photo(tmp_path / f"{name}.png", seed) for seed, name in enumerate(names)]
    done = predict_files(detector, photos, PredictConfig(out=tmp_path / "out", save=RESULT_FILES, batch_size=1))
    assert [bool(one.error) for one in done] == [False, True, False, False, False]
    assert "File name too long" in str(done[1].error) and "rename the photo" in str(done[1].error)
    assert len(list((tmp_path / "out").iterdir())) == 4 * len(RESULT_FILES)
    assert not any(one.error for one in predict_files(detector, photos[2:], PredictConfig(out=tmp_path / "out")))


def test_a_photo_that_is_given_twice_is_answered_twice(detector: Detector, tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.png")
    config = PredictConfig(out=tmp_path / "out")
    assert [one.error for one in predict_files(detector, [photo, photo], config)] == [None, None]
