"""From photo files to result files: everything asked for is written, and nobody's photo harms another's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbd_ray import Detector
from dbd_ray.config import PredictConfig
from dbd_ray.detection.files import Prediction, predict_files
from dbd_ray.detection.find_photos import find_photos
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth, decode_mask
from dbd_ray.images.overlay import overlay
from dbd_ray.names import RESULT_FILES

SIZE = (64, 64)


@pytest.fixture(scope="module")
def detector(tiny_depth_model: Path) -> Detector:
    return Detector.load(tiny_depth_model, device="cpu")


@pytest.fixture(scope="module")
def detector_without_depth(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, device="cpu")


@pytest.fixture
def photos(cuhk: Path, tmp_path: Path) -> list[Path]:
    """Three real photos, of which no two have the same size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for source in sorted((cuhk / "image").iterdir()):
        size = decode_photo(source.read_bytes()).shape
        if all(decode_photo(path.read_bytes()).shape != size for path in folder.iterdir()):
            shutil.copy(source, folder)
        if len(list(folder.iterdir())) == 3:
            break
    return sorted(folder.iterdir())


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_output_is_written_for_every_photo_at_its_own_size(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    done = predict_files(detector, photos, PredictConfig(out=out, save=RESULT_FILES))
    assert [one.photo for one in done] == photos
    assert {path for one in done for path in one.files} == set(out.iterdir())
    for photo in photos:
        pixels = decode_photo(photo.read_bytes())
        found = detector.detect([pixels])[0]
        focus = decode_mask((out / f"{photo.name}.focus.png").read_bytes(), polarity="focus")
        np.testing.assert_allclose(focus / 255, found.focus, atol=0.6 / 255)
        depth = decode_depth((out / f"{photo.name}.depth.png").read_bytes())
        assert found.depth is not None
        np.testing.assert_allclose(depth, found.depth, atol=1e-4)
        shown = decode_photo((out / f"{photo.name}.overlay.jpg").read_bytes()).astype(float)
        assert np.abs(shown - overlay(pixels, found.focus)).mean() < 2  # what JPEG costs
        about = json.loads((out / f"{photo.name}.json").read_text())
        assert (about["photo"], about["height"], about["width"]) == (str(photo), *pixels.shape[:2])
        assert about["kind"] == found.summary.kind
        assert about["in_focus_fraction"] == pytest.approx(found.summary.in_focus_fraction, abs=1e-6)
        assert about["model_fingerprint"] == detector.card.fingerprint


def test_only_what_was_asked_for_is_written(detector: Detector, photos: list[Path], tmp_path: Path) -> None:
    predict_files(detector, photos[:1], PredictConfig(out=tmp_path / "out", save=("json",)))
    assert _names(tmp_path / "out") == {f"{photos[0].name}.json"}


def test_polarity_inverts_what_is_written_and_nothing_that_is_held(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    white_is_focus, white_is_blur = (
        predict_files(detector, photos[:1], config)[0]
        for config in (
            PredictConfig(out=tmp_path / "focus", save=("focus", "overlay")),
            PredictConfig(out=tmp_path / "blur", save=("focus", "overlay"), polarity="blur"),
        )
    )
    focus, blur = (np.asarray(Image.open(one.files[0])) for one in (white_is_focus, white_is_blur))
    assert focus.min() < focus.max()
    np.testing.assert_array_equal(focus, 255 - blur)
    assert white_is_focus.summary == white_is_blur.summary
    assert white_is_focus.files[1].read_bytes() == white_is_blur.files[1].read_bytes()


def test_refinement_is_passed_on(detector: Detector, photos: list[Path], tmp_path: Path) -> None:
    pixels = decode_photo(photos[0].read_bytes())
    predict_files(detector, photos[:1], PredictConfig(out=tmp_path / "out", save=("focus",), refine="bilinear"))
    written = decode_mask((tmp_path / "out" / f"{photos[0].name}.focus.png").read_bytes(), polarity="focus")
    np.testing.assert_allclose(written / 255, detector.detect([pixels], refine="bilinear")[0].focus, atol=0.6 / 255)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_one_bad_photo_harms_only_itself(
    detector: Detector, photos: list[Path], tmp_path: Path, batch_size: int
) -> None:
    whole = photos[1].read_bytes()
    photos[1].write_bytes(whole[: len(whole) // 2])
    (photos[0].parent / "empty.jpg").touch()
    absent = photos[0].parent / "absent.jpg"
    given = [photos[0].parent / "empty.jpg", *photos[:2], absent, photos[2]]
    done = predict_files(detector, given, PredictConfig(out=tmp_path / "out", batch_size=batch_size))
    assert [one.photo for one in done] == given
    reasons = {one.photo.name: one.error for one in done if one.error}
    assert reasons.keys() == {"empty.jpg", photos[1].name, "absent.jpg"}
    assert "[empty_file]" in reasons["empty.jpg"]
    assert "[truncated]" in reasons[photos[1].name]
    assert "cannot be read (No such file or directory)" in reasons["absent.jpg"]
    assert all(one.summary is None and not one.files for one in done if one.error)
    good = [photos[0], photos[2]]
    assert {path.name.rsplit(".", 2)[0] for path in (tmp_path / "out").glob("*.focus.png")} == {
        photo.name for photo in good
    }
    assert len(list((tmp_path / "out").iterdir())) == 3 * len(good)
    for photo in good:
        expected = detector.detect([decode_photo(photo.read_bytes())])[0].focus
        written = decode_mask((tmp_path / "out" / f"{photo.name}.focus.png").read_bytes(), polarity="focus")
        np.testing.assert_allclose(written / 255, expected, atol=0.6 / 255)


def test_a_photo_beyond_the_pixel_limit_harms_only_itself(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    sizes = [decode_photo(photo.read_bytes()).size // 3 for photo in photos]
    done = predict_files(detector, photos, PredictConfig(out=tmp_path / "out", max_pixels=max(sizes) - 1))
    assert [one.error is None for one in done] == [size < max(sizes) for size in sizes]
    assert all("or raise max_pixels" in one.error for one in done if one.error)


NARROW = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from dbd_ray import Detector
from dbd_ray.config import PredictConfig
from dbd_ray.detection.files import predict_files
torch.set_num_threads(1)
detector = Detector.load(sys.argv[1], device="cpu")
detector.detect([np.zeros((64, 64, 3), np.uint8)] * 3)
in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for room_mb in (200, 900):  # too little to decode the large one, and too little for more than that
    resource.setrlimit(resource.RLIMIT_AS, (in_use + room_mb * 2**20, resource.RLIM_INFINITY))
    for one in predict_files(detector, [Path(name) for name in sys.argv[3:]], PredictConfig(out=sys.argv[2])):
        print(one.error or "done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set as Linux does")
def test_a_photo_that_memory_does_not_suffice_for_harms_only_itself(
    tiny_model: Path, photos: list[Path], tmp_path: Path
) -> None:
    Image.new("1", (8000, 8000)).save(tmp_path / "large.png")
    given = [photos[0], tmp_path / "large.png", *photos[1:]]
    arguments = [str(argument) for argument in (tiny_model, tmp_path / "out", *given)]
    done = subprocess.run([sys.executable, "-c", NARROW, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = [line if line == "done" else line.rpartition(" ")[2] for line in done.stdout.splitlines()]
    assert answers == ["done", "[out_of_memory]", "done", "done"] * 2


def test_progress_hears_of_every_photo_in_order(detector: Detector, photos: list[Path], tmp_path: Path) -> None:
    heard: list[Prediction] = []
    config = PredictConfig(out=tmp_path / "out", save=("json",), batch_size=2)
    done = predict_files(detector, photos, config, on_photo=heard.append)
    assert heard == done


def test_names_of_results_follow_from_the_photo_alone_whatever_else_is_in_the_run(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    pair = [folder / "IMG_1.jpg", folder / "IMG_1.png"]
    for path in pair:
        shutil.copy(photos[0], path)
    config = PredictConfig(out=tmp_path / "out", save=("json",))
    alone = [predict_files(detector, [path], config)[0].files for path in pair]
    together = [one.files for one in predict_files(detector, pair, config)]
    assert alone == together
    assert _names(tmp_path / "out") == {"IMG_1.jpg.json", "IMG_1.png.json"}


def test_folders_of_photos_are_mirrored_below_the_folder_of_results(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    for folder in ("cam0", "cam1/left"):
        (tmp_path / "rig" / folder).mkdir(parents=True)
        shutil.copy(photos[0], tmp_path / "rig" / folder / "0001.jpg")
    found = find_photos([tmp_path / "rig"], recursive=True)
    config = PredictConfig(out=tmp_path / "out", save=("json",))
    done = predict_files(detector, found.photos, config, names=found.names)
    assert [one.files[0].relative_to(tmp_path / "out").as_posix() for one in done] == [
        "cam0/0001.jpg.json",
        "cam1/left/0001.jpg.json",
    ]
    assert [json.loads(one.files[0].read_text())["photo"] for one in done] == [str(one.photo) for one in done]


@pytest.mark.parametrize("force", [False, True])
def test_of_two_photos_with_one_name_the_second_fails_and_is_told_what_to_do(
    detector: Detector, photos: list[Path], tmp_path: Path, force: bool
) -> None:
    given = []
    for folder, source in zip(("monday", "tuesday"), photos, strict=False):
        (tmp_path / folder).mkdir()
        given.append(Path(shutil.copy(source, tmp_path / folder / "IMG_1.jpg")))
    first, second = predict_files(detector, given, PredictConfig(out=tmp_path / "out", save=("json",), force=force))
    assert first.error is None
    assert f"would have the name of that of {given[0]}" in str(second.error)
    assert "give the folder above both, with --recursive" in str(second.error)
    assert json.loads((tmp_path / "out" / "IMG_1.jpg.json").read_text())["photo"] == str(given[0])


def test_a_file_where_a_folder_of_results_has_to_be_fails_its_photos_alone(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "rig" / "cam0").mkdir(parents=True)
    shutil.copy(photos[0], tmp_path / "rig" / "cam0" / "a.jpg")
    shutil.copy(photos[0], tmp_path / "rig" / "b.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cam0").write_text("mine")
    found = find_photos([tmp_path / "rig"], recursive=True)
    config = PredictConfig(out=tmp_path / "out", save=("json",))
    done = {one.photo.name: one.error for one in predict_files(detector, found.photos, config, names=found.names)}
    assert done["b.jpg"] is None
    assert "a file stands where a folder of results has to be" in str(done["a.jpg"])
    assert (tmp_path / "out" / "cam0").read_text() == "mine"


@pytest.mark.parametrize("name", ["Grüße aus 京都 🌸.jpg", "with space & 'quote'.jpg", "[2024] (1).jpg", "a.b.c.jpg"])
def test_any_file_name_is_kept(detector: Detector, photos: list[Path], tmp_path: Path, name: str) -> None:
    photo = photos[0].rename(tmp_path / name)
    done = predict_files(detector, [photo], PredictConfig(out=tmp_path / "out", save=("focus", "json")))
    assert done[0].error is None
    assert _names(tmp_path / "out") == {f"{name}.focus.png", f"{name}.json"}
    assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["photo"] == str(photo)


def test_running_again_replaces_results_and_leaves_nothing_half_done(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("not a result")
    predict_files(detector, photos[:1], PredictConfig(out=out, save=("focus", "json")))
    predict_files(detector, photos[:1], PredictConfig(out=out, save=("focus", "json")))
    assert _names(out) == {f"{photos[0].name}.focus.png", f"{photos[0].name}.json", "mine.txt"}
    assert json.loads((out / f"{photos[0].name}.json").read_text())["model"] == "tiny"


def test_a_result_that_cannot_be_written_stops_the_job_and_says_where(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    heard: list[Prediction] = []

    def vanish(prediction: Prediction) -> None:
        heard.append(prediction)
        shutil.rmtree(out)
        out.touch()

    with pytest.raises(DbdRayError, match="out: cannot be written"):
        predict_files(detector, photos, PredictConfig(out=out, save=("json",), batch_size=1), on_photo=vanish)
    assert [one.photo for one in heard] == photos[:1]


def test_an_output_folder_that_is_a_file_is_refused(detector: Detector, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match=r"out: cannot be made a folder \(File exists\); choose another"):
        predict_files(detector, photos, PredictConfig(out=tmp_path / "out"))


def test_depth_is_refused_where_the_network_has_none(
    detector_without_depth: Detector, photos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="save: tiny predicts no depth; leave depth out"):
        predict_files(detector_without_depth, photos, PredictConfig(out=tmp_path / "out", save=("focus", "depth")))
    assert predict_files(detector_without_depth, photos[:1], PredictConfig(out=tmp_path / "out"))[0].error is None


def test_results_in_the_photos_folder_are_not_taken_for_photos(detector: Detector, photos: list[Path]) -> None:
    folder = photos[0].parent
    predict_files(detector, find_photos([folder]).photos, PredictConfig(out=folder, save=RESULT_FILES))
    assert find_photos([folder]).photos == photos


def test_a_file_given_by_name_is_tried_whatever_its_suffix(
    detector: Detector, photos: list[Path], tmp_path: Path
) -> None:
    photo = photos[0].rename(tmp_path / "scan.data")
    assert find_photos([photo]).photos == [photo]
    assert predict_files(detector, [photo], PredictConfig(out=tmp_path / "out", save=("json",)))[0].error is None
