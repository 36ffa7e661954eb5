"""Small labelled data for measuring: real photos on disk and prepared."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dbd_ray.datasets.prepared import SCHEMA, PreparedInfo, write_info
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask, encode_mask, encode_photo
from dbd_ray.images.resize import resize_photo

SIZE = (64, 64)
TESTS = 13  # more than a report shows
TRAINING = 2


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture
def history() -> list[dict[str, float]]:
    """What training reports of two epochs."""
    return [
        {"epoch": 1, "train/loss": 2.0, "train/bce": 1.5, "train/lr": 0.005, "val/mae": 0.3},
        {
            "epoch": 2,
            "train/loss": 1.0,
            "train/bce": 0.7,
            "train/lr": 0.004,
            "val/mae": 0.2,
            "val/f_adaptive_pooled": 0.7,
        },
    ]


@pytest.fixture(scope="module")
def native(cuhk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos, made small, in the layout of CUHK."""
    root = tmp_path_factory.mktemp("native")
    chosen = sorted((cuhk / "image").iterdir())[: TESTS + TRAINING]
    for name in ("image", "gt"):
        (root / name).mkdir()
    for source in chosen:
        with Image.open(source) as photo, Image.open(cuhk / "gt" / f"{source.stem}.png") as mask:
            size = (photo.width // 4, photo.height // 4)
            photo.resize(size).save(root / "image" / source.name, quality=95)
            mask.resize(size, Image.Resampling.NEAREST).save(root / "gt" / f"{source.stem}.png")
    (root / "test.txt").write_text("\n".join(source.name for source in chosen[:TESTS]))
    return root


@pytest.fixture(scope="module")
def pairs(native: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Test photos and masks (255 = in focus) by id."""
    return {
        name.removesuffix(".jpg"): (
            decode_photo((native / "image" / name).read_bytes()),
            decode_mask((native / "gt" / name).with_suffix(".png").read_bytes(), polarity="blur"),
        )
        for name in (native / "test.txt").read_text().split()
    }


@pytest.fixture(scope="module")
def prepared(pairs: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of them as a prepared dataset; the last is validation."""
    root = tmp_path_factory.mktemp("prepared")
    chosen = sorted(pairs)[:5]
    rows = [
        {
            "id": name,
            "split": "val" if name == chosen[-1] else "test",
            "source": "rendered" if name == chosen[0] else "cuhk",
            "width": SIZE[1],
            "height": SIZE[0],
            "image": encode_photo(resize_photo(pairs[name][0], SIZE), format="png"),
            "mask": encode_mask(resize_photo(np.dstack([pairs[name][1]] * 3), SIZE)[..., 0] > 127),
            "depth": None,
            "depth_teacher": None,
        }
        for name in chosen
    ]
    (root / "parts-1").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), root / "parts-1" / "part.parquet")
    info = PreparedInfo(
        parts="parts-1",
        input_size=SIZE,
        rows={"test": 4, "val": 1},
        sources={"cuhk": 4, "rendered": 1},
        depth_rows=0,
        image_bytes=1,
        fingerprint="f",
    )
    write_info(str(root), info)
    return root


@pytest.fixture(scope="module", autouse=True)
def _no_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
