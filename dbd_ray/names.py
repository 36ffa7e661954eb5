"""Names and choices shared by settings, commands, endpoint, client and files, each defined once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Polarity = Literal["focus", "blur"]
"""What white means in a mask file: in focus, or blurred."""

Refinement = Literal["guided", "bilinear"]
"""How a map is resized to the photo: along the photo's edges (fast guided filter), or by interpolation alone."""

Layout = Literal["cuhk", "dut", "szu-bd", "folder", "sharp"]
"""Folder layout of a labelled dataset, see `datasets.layouts`."""

MeasuredLayout = Literal[Layout, "stacks"]
"""Layout of a set that is measured: a labelled dataset's, or a folder of focus stacks, see `datasets.stacks`."""

Split = Literal["train", "val", "test"]
"""Part of a prepared dataset."""

EngineName = Literal["auto", "eager", "fused", "compiled", "onnx", "openvino"]
"""Engine that runs a network, see `engines.load_engine`."""

PrecisionName = Literal["auto", "float32", "bfloat16"]
"""Number format of training and of depth teachers."""

ResultFile = Literal["focus", "overlay", "mask", "depth", "json"]
"""What `dbd-ray predict` writes of a photo."""

LibraryResult = Literal["focus", "masks", "crops", "gallery", "sidecars"]
"""What `dbd-ray annotate` writes of a photo beside its row."""

MaskLayout = Literal["colmap", "nerfstudio"]
"""For which program masks for reconstruction are named and turned."""

Orientation = Literal["displayed", "stored"]
"""How a mask lies: upright as a photo is shown, or as the pixels of its file are, whatever EXIF says of turning."""

Picture = Literal["focus", "overlay", "mask", "depth"]
"""What the endpoint draws of a photo."""

RequestReason = Literal[
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "timeout",
    "too_many_photos",
    "unsupported_media_type",
    "invalid_parameter",
    "invalid_form",
    "invalid_body",
    "no_depth",
    "busy",
    "model_unavailable",
    "internal",
]
"""Why the endpoint refuses a request, besides the reasons of `PhotoError`."""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)
REFINEMENTS: tuple[Refinement, ...] = get_args(Refinement)
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)
RESULT_FILES: tuple[ResultFile, ...] = get_args(ResultFile)
LIBRARY_RESULTS: tuple[LibraryResult, ...] = get_args(LibraryResult)
PICTURES: tuple[Picture, ...] = get_args(Picture)

# the largest sensors of single-shot cameras have 151 megapixels; such a photo takes 1.5 GB to decode, 3 GB to predict
MAX_PIXELS = 160_000_000
"""Largest height × width of a photo that is decoded unless another limit is given."""

MOST_TILES = 32
"""Along a photo's longer side."""

REASON_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "empty_file": 400,
        "not_an_image": 400,
        "truncated": 400,
        "undecodable": 400,
        "invalid_body": 400,
        "unauthorized": 401,
        "not_found": 404,
        "method_not_allowed": 405,
        "not_acceptable": 406,
        "timeout": 408,
        "too_many_bytes": 413,
        "too_many_pixels": 413,
        "too_many_photos": 413,
        "out_of_memory": 413,
        "unsupported_media_type": 415,
        "needs_extra_heif": 415,
        "needs_extra_raw": 415,
        "needs_extra_jxl": 415,
        "invalid_parameter": 422,
        "invalid_form": 422,
        "no_depth": 422,
        "busy": 429,
        "internal": 500,
        "model_unavailable": 503,
    }
)
"""The HTTP status of every reason, those of photos and those of requests."""

RESULT_SUFFIXES: Mapping[ResultFile, str] = MappingProxyType(
    {
        "focus": ".focus.png",
        "overlay": ".overlay.jpg",
        "mask": ".mask.png",
        "depth": ".depth.png",
        "json": ".json",
    }
)
"""What the names of the files that `dbd-ray predict` writes of a photo end with; before it stands the photo's name."""

MAE = "mae"
F_BETA = "f_adaptive_pooled_dd_notebook"
F_MAX = "f_max_of_mean_curve"
HEADLINE_METRICS = (MAE, F_BETA, F_MAX, "iou_at_half_focus")
"""The metrics of `metrics.METRIC_NAMES` that commands and charts show first."""

AREA_COLUMNS = ("sharp_left", "sharp_top", "sharp_right", "sharp_bottom")
"""Columns of the box around the sharp pixels; -1 where there are none."""

OUTPUT_COLUMNS: Mapping[str, type] = MappingProxyType(
    {
        "focus": bytes,
        "focus_kind": str,
        "in_focus_fraction": float,
        "sharp_left": int,
        "sharp_top": int,
        "sharp_right": int,
        "sharp_bottom": int,
        "focus_confidence": float,
        "focus_model": str,
        "error": str,
    }
)
"""Columns that `FocusPredictor` adds to a row and a registered model returns, with the Python type of each."""
