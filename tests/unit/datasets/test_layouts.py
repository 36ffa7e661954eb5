"""Promises of the dataset layouts."""

import uuid
from collections.abc import Callable
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
from PIL import Image

from dbd_ray.datasets.labelled import read_labelled, read_layout
from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.names import Polarity

# rows x columns
SIZE = (12, 16)
PHOTO = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
MASK = np.zeros(SIZE, np.uint8)
MASK[:, 8:] = 255


def encode(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix.lower(), pixels)[1].tobytes()


def write(root: Path, files: dict[str, bytes | str]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(root)


def labelled(*names: str, images: str = "image", masks: str = "gt") -> dict[str, bytes | str]:
    """Files of correct photos with correct masks."""
    files: dict[str, bytes | str] = {}
    for name in names:
        files[f"{images}/{name}"] = encode(PHOTO, Path(name).suffix)
        files[f"{masks}/{Path(name).stem}.png"] = encode(MASK, ".png")
    return files


def a_pair(root: Path, image: bytes, mask: bytes, polarity: Polarity = "focus") -> LabelledPhoto:
    write(root, {"image/a.png": image, "mask/a.png": mask})
    return LabelledPhoto("a", "train", "folder", f"{root}/image/a.png", f"{root}/mask/a.png", polarity)


def test_cuhk_splits_by_test_txt_whatever_the_case_of_the_suffix(tmp_path: Path) -> None:
    root = write(tmp_path, {**labelled("b.JPG", "a.jpg", "c.jpg"), "test.txt": "b.jpg\nc.JPG\n\n"})
    photos = read_layout(root, "cuhk")
    assert [(photo.id, photo.split) for photo in photos] == [("a", "train"), ("b", "test"), ("c", "test")]
    assert {photo.polarity for photo in photos} == {"blur"}
    assert photos[1].image_uri == f"{root}/image/b.JPG"
    assert photos[1].mask_uri == f"{root}/gt/b.png"


def test_the_real_cuhk_set_has_604_training_and_100_test_photos(cuhk: Path) -> None:
    photos, problems = scan_layout(str(cuhk), "cuhk")
    assert problems == []
    assert [sum(photo.split == split for photo in photos) for split in ("train", "test")] == [604, 100]
    for photo in photos[::100]:
        pair = read_labelled(photo)
        assert not isinstance(pair, str), pair
        pixels, truth = pair
        assert pixels.shape == (*truth.shape, 3)


def test_every_problem_is_listed_in_one_error(tmp_path: Path) -> None:
    good = encode(PHOTO, ".jpg")
    files = {
        **labelled("good.jpg", "small.png", "empty.png", "zero.png", "cut.png", "badmask.png", "twice.png", "t.png"),
        "image/unmasked.jpg": good,
        "gt/orphan.png": encode(MASK, ".png"),
        "image/twice.jpg": good,
        "image/notes.txt": "hello",
        "image/.DS_Store": "left alone",
        "image/Thumbs.db": "left alone",
        "image/inner/x.jpg": good,
        "gt/small.png": encode(MASK[:5], ".png"),
        "gt/empty.png": encode(np.zeros_like(MASK), ".png"),
        "image/zero.png": b"",
        "image/cut.png": encode(PHOTO, ".png")[:100],
        "gt/badmask.png": "no picture",
        "test.txt": "t.png\nabsent.jpg\nt.png\n",
    }
    root = write(tmp_path, files)
    with pytest.raises(DatasetError) as caught:
        read_layout(root, "cuhk")
    expected = [
        ("image/unmasked.jpg", "missing"),
        ("gt/orphan.png", "without a photo"),
        ("image/twice.png", "same name as twice.jpg"),
        ("image/notes.txt", "none of"),
        ("image/inner", "directly in image/"),
        ("gt/small.png", "16x5", "16x12"),
        ("gt/empty.png", "empty mask", "all in focus"),
        ("image/zero.png", "empty_file"),
        ("image/cut.png", "truncated"),
        ("gt/badmask.png", "not_an_image"),
        ("line 2", "'absent.jpg'", "not in image/"),
        ("line 3", "'t.png'", "twice"),
    ]
    for parts in expected:
        assert any(all(part in problem for part in parts) for problem in caught.value.problems), parts
        assert parts[0] in str(caught.value)
    assert len(caught.value.problems) == len(expected)


def test_a_bad_photo_with_a_bad_mask_is_reported_for_both(tmp_path: Path) -> None:
    problem = read_labelled(a_pair(tmp_path, b"", b"text"))
    assert isinstance(problem, str)
    assert "image/a.png" in problem and "empty_file" in problem
    assert "mask/a.png" in problem and "not_an_image" in problem


@pytest.mark.parametrize(("level", "polarity", "said"), [(255, "focus", "in focus"), (255, "blur", "out of focus")])
def test_a_mask_of_one_class_is_a_problem_unless_allowed(
    tmp_path: Path, level: int, polarity: Polarity, said: str
) -> None:
    pair = a_pair(tmp_path, encode(PHOTO, ".png"), encode(np.full(SIZE, level, np.uint8), ".png"), polarity)
    assert f"(all {said})" in read_labelled(pair)
    assert isinstance(read_labelled(pair, allow_constant=True), tuple)


def test_sizes_are_compared_as_the_photo_is_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.fromarray(PHOTO).save(tmp_path / "turned.jpg", exif=exif)
    image = (tmp_path / "turned.jpg").read_bytes()
    assert "12x16" in read_labelled(a_pair(tmp_path, image, encode(MASK, ".png")))
    assert isinstance(read_labelled(a_pair(tmp_path, image, encode(MASK.T.copy(), ".png"))), tuple)


def test_sharp_photos_need_no_masks(tmp_path: Path) -> None:
    root = write(tmp_path, {"train/1.jpg": encode(PHOTO, ".jpg"), "val/1.jpg": encode(PHOTO, ".jpg")})
    photos = read_layout(root, "sharp")
    assert [(photo.id, photo.split, photo.source) for photo in photos] == [
        ("test_1", "test", "sharp"),
        ("train_1", "train", "sharp"),
    ]
    pair = read_labelled(photos[0])
    assert not isinstance(pair, str), pair
    _, truth = pair
    assert (truth == 255).all()


def test_sharp_photos_lie_in_folders_of_their_splits(tmp_path: Path) -> None:
    root = write(tmp_path, {"1.jpg": encode(PHOTO, ".jpg")})
    with pytest.raises(DatasetError, match="accepted: train, test, val"):
        read_layout(root, "sharp")
    write(tmp_path, {"test/1.jpg": encode(PHOTO, ".jpg"), "val/1.jpg": b""})
    with pytest.raises(DatasetError, match=r"(?s)keep one of them.*val/1.jpg: .*empty_file"):
        read_layout(root, "sharp")


def test_a_folder_may_hold_negatives_on_purpose(tmp_path: Path) -> None:
    files = {**labelled("a.png", masks="mask"), "mask/a.png": encode(np.full(SIZE, 255, np.uint8), ".png")}
    root = write(tmp_path / "mine", files)
    with pytest.raises(DatasetError, match="empty mask"):
        read_layout(root, "folder", polarity="focus")
    (photo,) = read_layout(root, "folder", polarity="focus", allow_constant_masks=True)
    assert (photo.split, photo.source, photo.polarity) == ("train", "mine", "focus")


def test_a_folder_takes_test_txt_when_it_is_there(tmp_path: Path) -> None:
    root = write(tmp_path, {**labelled("a.png", "b.png", masks="mask"), "test.txt": "b.png"})
    photos = read_layout(root, "folder", polarity="blur")
    assert [(photo.split, photo.polarity) for photo in photos] == [("train", "blur"), ("test", "blur")]


def test_szu_bd_is_white_where_blurred_and_trains_whole_without_test_txt(tmp_path: Path) -> None:
    photos = read_layout(write(tmp_path, labelled("1.jpg", "2.jpg")), "szu-bd")
    assert [(photo.split, photo.polarity) for photo in photos] == [("train", "blur"), ("train", "blur")]


@pytest.mark.parametrize(
    "pairs",
    [
        [("train/image", "train/gt"), ("test/image", "test/gt")],
        [("dut600s_source", "dut600s_gt"), ("dut500-source", "dut500-gt")],
        [("DUT600S_Training", "DUT600GT_Training"), ("DUT500S-Testing", "DUT500GT-Testing")],
    ],
)
def test_dut_splits_by_folder_and_keeps_equal_numbers_apart(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    files = {
        name: data for images, masks in pairs for name, data in labelled("1.bmp", images=images, masks=masks).items()
    }
    photos = read_layout(write(tmp_path, files), "dut")
    assert [(photo.id, photo.split, photo.polarity) for photo in photos] == [
        ("test_1", "test", "focus"),
        ("train_1", "train", "focus"),
    ]
    assert photos[0].image_uri == str(tmp_path / pairs[1][0] / "1.bmp")


def test_dut_may_be_its_test_half_alone(tmp_path: Path) -> None:
    root = write(tmp_path, labelled("1.bmp", images="dut500-source", masks="dut500-gt"))
    assert [photo.split for photo in read_layout(root, "dut")] == ["test"]


def test_dut_names_what_it_looked_for(tmp_path: Path) -> None:
    _, problems = scan_layout(write(tmp_path, labelled("1.bmp")), "dut")
    assert len(problems) == 1 and "dut500_source+dut500_gt" in problems[0]
    only_photos = labelled("1.bmp", images="dut500-source", masks="elsewhere")
    _, problems = scan_layout(write(tmp_path, only_photos), "dut")
    assert problems == ["dut500_gt/: the folder is missing"]
    both = {**labelled("1.bmp", images="dut500-source", masks="dut500-gt"), **labelled("1.bmp", images="test/image")}
    _, problems = scan_layout(write(tmp_path, both), "dut")
    assert any("several folders for test" in problem for problem in problems)


def test_missing_folders_are_named_once_each(tmp_path: Path) -> None:
    photos, problems = scan_layout(str(tmp_path / "nowhere"), "cuhk")
    assert photos == []
    assert [problem.split(":")[0] for problem in problems] == ["image/", "gt/", "test.txt"]
    root = write(tmp_path, {"image/a.jpg": encode(PHOTO, ".jpg"), "test.txt": "a.jpg"})
    assert scan_layout(root, "cuhk")[1] == ["gt/: the folder is missing"]


@pytest.mark.parametrize(("text", "said"), [(b"\n", "names no photo"), (b"\xff\xfe\xff", "not UTF-8")])
def test_an_unusable_test_txt_is_a_problem(tmp_path: Path, text: bytes, said: str) -> None:
    _, problems = scan_layout(write(tmp_path, {**labelled("a.jpg"), "test.txt": text}), "cuhk")
    assert len(problems) == 1 and said in problems[0]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    for name in ("image", "gt"):
        (tmp_path / name).mkdir()
    assert "image/: no files in it" in scan_layout(str(tmp_path), "szu-bd")[1]


def test_a_dataset_may_lie_on_any_fsspec_storage() -> None:
    root = f"memory://{uuid.uuid4().hex}/set/"
    for name, content in {**labelled("a.jpg", "b.png"), "test.txt": "b.png"}.items():
        fsspec.filesystem("memory").pipe_file(root + name, content if isinstance(content, bytes) else content.encode())
    photos = read_layout(root, "cuhk")
    assert [photo.split for photo in photos] == ["train", "test"]
    with fsspec.open(photos[0].image_uri) as file:
        assert file.read() == encode(PHOTO, ".jpg")


def test_a_test_txt_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    root = write(tmp_path, labelled("a.jpg"))
    (tmp_path / "test.txt").mkdir()
    assert any(problem.startswith("test.txt: cannot be read") for problem in scan_layout(root, "cuhk")[1])


def test_relative_and_file_roots_give_uris_that_work_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, labelled("a.jpg"))
    monkeypatch.chdir(tmp_path.parent)
    assert read_layout(tmp_path.name, "szu-bd")[0].image_uri == str(tmp_path / "image" / "a.jpg")
    assert read_layout(f"file://{tmp_path}", "szu-bd")[0].image_uri == f"file://{tmp_path}/image/a.jpg"


def test_storage_that_nobody_knows_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match="nosuch://there"):
        scan_layout("nosuch://there/set", "cuhk")
    with pytest.raises(DatasetError, match="AWS_ENDPOINT_URL"):
        scan_layout("nosuch://there/set?endpoint_override=here", "cuhk")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda root: scan_layout(root, "coco"), "choose one of cuhk, dut, szu-bd, folder"),  # type: ignore[arg-type]
        (lambda root: scan_layout(root, "folder"), "focus or blur"),
        (lambda root: scan_layout(root, "folder", polarity="white"), "focus or blur"),  # type: ignore[arg-type]
        (lambda root: scan_layout(root, "cuhk", polarity="blur"), "no effect"),
    ],
)
def test_settings_that_are_wrong_or_without_effect_are_refused(
    tmp_path: Path, call: Callable[[str], object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        call(str(tmp_path))
