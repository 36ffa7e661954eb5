"""Teachers small enough for tests, on storage as their real ones are."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dbd_ray.datasets.prepared import SCHEMA, PreparedInfo, write_info
from dbd_ray.datasets.rows import RenderedRows
from dbd_ray.datasets.scenes import SceneConfig

SMALL, LARGE = (3, 5, 7), (3, 7, 11)
DEEP = "3.0.0.3.0.0.3.0"
# every inception of MegaDepth's file: where it is, channels in, channels out of each branch, between, kernels
INCEPTIONS = {
    **dict.fromkeys(("3.0.0.1", "3.0.0.2", "3.0.0.3.0.0.1", "3.0.0.3.0.1.0"), (128, 32, 32, SMALL)),
    "3.0.0.3.0.0.2": (128, 64, 32, SMALL),
    **dict.fromkeys((f"{DEEP}.0.0", f"{DEEP}.1.1", f"{DEEP}.1.2", f"{DEEP}.1.4"), (256, 64, 32, SMALL)),
    **dict.fromkeys((f"{DEEP}.1.3.0.0.0", f"{DEEP}.1.3.0.0.1"), (256, 64, 32, SMALL)),
    **dict.fromkeys((f"{DEEP}.1.3.0.1.1", f"{DEEP}.1.3.0.1.2", f"{DEEP}.1.3.0.1.3"), (256, 64, 32, SMALL)),
    **dict.fromkeys((f"{DEEP}.0.1", f"{DEEP}.1.5"), (256, 64, 64, LARGE)),
    "3.0.0.3.0.0.4": (256, 64, 32, SMALL),
    "3.0.0.3.0.0.5": (256, 32, 32, SMALL),
    "3.0.0.3.0.1.1": (128, 32, 64, LARGE),
    "3.0.0.4": (128, 32, 64, SMALL),
    "3.0.0.5": (128, 16, 32, LARGE),
    "3.0.1.0": (128, 16, 64, LARGE),
}


def _filled(shape: tuple[int, ...]) -> torch.Tensor:
    """Weights by rule, of a size that keeps the features of each layer alike."""
    count = int(np.prod(shape))
    values = np.sin(np.arange(count) * 1.7) * np.sqrt(6 / max(count // shape[0], 6))
    return torch.from_numpy(values.reshape(shape).astype(np.float32))


def _add(tensors: dict[str, torch.Tensor], conv: str, norm: str, inputs: int, outputs: int, kernel: int) -> None:
    tensors |= {f"{conv}.weight": _filled((outputs, inputs, kernel, kernel)), f"{conv}.bias": _filled((outputs,))}
    tensors |= {f"{norm}.running_mean": _filled((outputs,)) / 4, f"{norm}.running_var": _filled((outputs,)).abs() + 1}


def published_hourglass() -> dict[str, torch.Tensor]:
    """Rule-filled tensors with the names and shapes of MegaDepth's file, which is older than num_batches_tracked."""
    tensors = {"1.weight": torch.ones(128), "1.bias": torch.zeros(128)}
    _add(tensors, "0", "1", 3, 128, 7)
    for place, (inputs, each, inner, kernels) in INCEPTIONS.items():
        _add(tensors, f"{place}.0.0", f"{place}.0.1", inputs, each, 1)
        for branch, kernel in enumerate(kernels, start=1):
            _add(tensors, f"{place}.{branch}.0", f"{place}.{branch}.1", inputs, inner, 1)
            _add(tensors, f"{place}.{branch}.3", f"{place}.{branch}.4", inner, each, kernel)
    return tensors | {"4.weight": _filled((1, 64, 3, 3)), "4.bias": _filled((1,))}


@pytest.fixture(scope="session")
def hourglass_tensors() -> dict[str, torch.Tensor]:
    """See `published_hourglass`."""
    return published_hourglass()


@pytest.fixture(scope="session")
def hourglass_file(hourglass_tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a .pth file of that time, saved from DataParallel."""
    path = tmp_path_factory.mktemp("hourglass") / "net_G.pth"
    tensors = {f"module.{name}": tensor for name, tensor in hourglass_tensors.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="session")
def dinov2() -> Any:
    """Configuration of a small DINOv2 backbone."""
    transformers = pytest.importorskip("transformers")
    return transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )


@pytest.fixture(scope="session")
def depth_anything(dinov2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small random Depth Anything model with its image processor."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hf") / "tiny-depth-anything"
    config = transformers.DepthAnythingConfig(
        backbone_config=dinov2,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    torch.manual_seed(0)
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small random DPT (MiDaS) model with its image processor."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hf") / "tiny-dpt"
    config = transformers.DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        is_hybrid=False,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        use_auxiliary_head=False,
    )
    torch.manual_seed(0)
    transformers.DPTForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def write_scenes(folder: Path, *, seed: int) -> Path:
    """Write a prepared dataset of three rendered scenes, without Ray."""
    make_row = RenderedRows(SceneConfig(size=(64, 96), all_in_focus_share=0, none_in_focus_share=0), seed, ())
    rows = [make_row({"index": index, "split": split}) for index, split in enumerate(("train", "val", "test"))]
    (folder / "parts-1").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "parts-1" / "rows.parquet")
    info = PreparedInfo(
        parts="parts-1",
        input_size=(64, 96),
        rows=dict.fromkeys(("train", "val", "test"), 1),
        sources={"rendered": 3},
        depth_rows=3,
        image_bytes=1,
        fingerprint=f"scenes-of-seed-{seed}",
    )
    write_info(str(folder), info)
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared dataset of three rendered scenes."""
    return write_scenes(tmp_path_factory.mktemp("prepared") / "scenes", seed=0)


@pytest.fixture(scope="session")
def other_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one."""
    return write_scenes(tmp_path_factory.mktemp("prepared") / "scenes", seed=1)


@pytest.fixture(scope="session")
def teacher_file(reference: Path) -> Path:
    """PyDNet++ as LiteRT file."""
    pytest.importorskip("ai_edge_litert")
    path = reference.parent / "teachers" / "pydnetpp.tflite"
    if not path.exists():
        pytest.skip(f"{path} is absent; set DBD_SHARED to where shared/ is")
    return path
