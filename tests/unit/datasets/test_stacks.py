from pathlib import Path

import numpy as np
import pytest

from dbd_ray.datasets.stacks import read_stack, scan_stacks
from dbd_ray.errors import DatasetError
from dbd_ray.images.encode import encode_photo


def _photo(path: Path, height: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_photo(np.zeros((height, 9, 3), np.uint8), format="png"))


def test_every_folder_is_a_stack_of_its_photos(tmp_path: Path) -> None:
    for name in ("b/1.png", "b/0.png", "a/x.png", "a/y.PNG"):
        _photo(tmp_path / name)
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "README.md").touch()
    stacks = scan_stacks(str(tmp_path))
    assert [(s.id, [Path(uri).name for uri in s.image_uris]) for s in stacks] == [
        ("a", ["x.png", "y.PNG"]),
        ("b", ["0.png", "1.png"]),
    ]
    frames = read_stack(stacks[0])
    assert not isinstance(frames, str) and [frame.shape for frame in frames] == [(8, 9, 3)] * 2


def test_what_is_wrong_with_a_stack_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folders, but each focus stack has one"):
        scan_stacks(str(tmp_path))
    _photo(tmp_path / "one" / "0.png")
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"none/: .* found 0\n.*one/: .* found 1"):
        scan_stacks(str(tmp_path))
    (tmp_path / "none").rmdir()
    _photo(tmp_path / "one" / "1.png", height=10)
    assert read_stack(scan_stacks(str(tmp_path))[0]) == (
        "one/: its photos are 9x10, 9x8 (w x h), but must be of one size and aligned"
    )
    (tmp_path / "one" / "1.png").write_bytes(b"no photo")
    assert "1.png: " in str(read_stack(scan_stacks(str(tmp_path))[0]))
