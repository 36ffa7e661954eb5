"""Depth models of Hugging Face transformers, with their own image processors: Depth Anything, DPT/MiDaS and others."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from dbd_ray.errors import TeacherError
from dbd_ray.teachers.base import LargerIs
from dbd_ray.teachers.request import TeacherRequest
from dbd_ray.teachers.torch_teacher import TorchTeacher, digest_of
from dbd_ray.teachers.weights import fingerprint_of, optional_package

CODE_VERSION = 1  # raised when this code gives other maps for the same model
HUB_TIMEOUT_S = 10.0

# `predicted_depth` as transformers' post-processing reads it
LARGER_IS: dict[str, LargerIs] = {
    "dpt": "near",
    "depth_pro": "near",
    "zoedepth": "far",
    "glpn": "far",
    "tipsv2_dpt": "far",
}
# the deepest fusion layer has nothing to fuse with: published DPT files leave these out, and no map depends on them
_UNUSED = re.compile(r"(.*\.)?fusion_stage\.layers\.0\.residual_layer1\..*")


class HuggingFaceTeacher(TorchTeacher):
    """A transformers model; photos of any size, its processor brings them to the model's.

    Args:
        name: See `DepthTeacher`; so are fingerprint and larger_is.
        model: For depth estimation, from `AutoModelForDepthEstimation`.
        processor: Its image processor.
        request: Tells the device and the number format.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        model: Any,
        processor: Any,
        *,
        larger_is: LargerIs,
        request: TeacherRequest,
    ) -> None:
        super().__init__(name, fingerprint, input_size=None, larger_is=larger_is, request=request)
        self._model = model.to(self.device).eval()
        self._processor = processor
        # ZoeDepth's borders would have to be cut off again
        self._options = {"do_pad": False} if model.config.model_type == "zoedepth" else {}

    def estimate(self, photos: Tensor) -> Tensor:
        inputs = self._processor(
            images=list(photos), return_tensors="pt", input_data_format="channels_first", **self._options
        )
        return cast(Tensor, self._model(pixel_values=inputs["pixel_values"].to(self.device)).predicted_depth)


def load(request: TeacherRequest) -> HuggingFaceTeacher:
    """Load `hf:MODEL-ID` from the Hub or its local cache, or `hf:FOLDER`; weights as safetensors, no code of theirs.

    Option `larger_is` (near or far) is needed for model types that are not known here, and overrides.

    Raises:
        TeacherError: The package or the model is missing, it is no depth model, its weights are incomplete, or it is
            not known which way its output goes.
        ConfigError: An option is unknown or out of range, or there is no such device.
    """
    request.allow_options("larger_is")
    transformers = optional_package("transformers", "transformers", request.spec)
    where = request.target
    processor, model, found = _open(transformers, request)
    missing = [name for name in found["missing_keys"] if not _UNUSED.fullmatch(name)]
    if missing or found["mismatched_keys"]:
        raise TeacherError(
            f"{request.spec}: {len(missing)} weights are missing ({', '.join(sorted(missing)[:5])} ...), "
            f"{len(found['mismatched_keys'])} have another shape; give a complete depth estimation model"
        )
    larger_is = request.choice("larger_is", get_args(LargerIs)) or _direction(model.config)
    if larger_is is None:
        raise TeacherError(
            f"{request.spec}: it is not known here whether a {model.config.model_type} model gives depth or inverse "
            f"depth; say it: {request.spec}?larger_is=far (depth) or ?larger_is=near (inverse depth)"
        )
    fingerprint = fingerprint_of(
        digest_of(model.state_dict(), without=found["missing_keys"]),
        {
            "code": CODE_VERSION,
            "larger_is": larger_is,
            # as they lie in the files: what transformers makes of them grows with its versions
            "config": _public(type(model.config).get_config_dict(where, local_files_only=True)[0]),
            "processor": _public(processor.get_image_processor_dict(where, local_files_only=True)[0]),
        },
    )
    folder = Path(where)
    name = f"{request.kind}:{folder.absolute().name if folder.is_dir() else where}"
    return HuggingFaceTeacher(name, fingerprint, model, processor, larger_is=cast(LargerIs, larger_is), request=request)


def _open(transformers: Any, request: TeacherRequest) -> tuple[Any, Any, dict[str, Any]]:
    try:
        try:
            return _load(transformers, request.target, local_only=True)
        except OSError:
            if Path(request.target).is_dir():
                raise
        _check_hub(request)
        return _load(transformers, request.target, local_only=False)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise TeacherError(
            f"{request.spec}: transformers cannot load it as a depth estimation model with an image processor and "
            f"safetensors weights ({error}); give a folder that holds one, or the id of one on the Hugging Face Hub"
        ) from error


def _load(transformers: Any, where: str, *, local_only: bool) -> tuple[Any, Any, dict[str, Any]]:
    options = {"local_files_only": local_only, "trust_remote_code": False}
    processor = transformers.AutoImageProcessor.from_pretrained(where, **options)
    # weights that are missing are drawn at random: that must not move the caller's seed
    with torch.random.fork_rng(devices=[]):
        model, found = transformers.AutoModelForDepthEstimation.from_pretrained(
            where, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    return processor, model, found


def _check_hub(request: TeacherRequest) -> None:
    """Ask once whether the Hub has the model, because its download functions retry for minutes."""
    import huggingface_hub

    try:
        huggingface_hub.HfApi().model_info(request.target, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - which HTTP library it uses, and so what it raises, changes
        raise TeacherError(
            f"{request.spec}: no such folder, and not to be had from the Hugging Face Hub "
            f"({type(error).__name__}: {error}); give a folder that holds the model, or download it on a machine "
            "that has access and share HF_HOME with the nodes"
        ) from None


def _direction(config: Any) -> LargerIs | None:
    if config.model_type == "depth_anything":
        return "far" if config.depth_estimation_type == "metric" else "near"
    if config.model_type == "dpt" and getattr(config.backbone_config, "model_type", None) == "dinov2":
        return None  # MiDaS gives inverse depth, but the DPT heads that were published with DINOv2 give metres
    return LARGER_IS.get(config.model_type)


def _public(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "transformers_version" and not key.startswith("_")}
