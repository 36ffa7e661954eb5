"""The kind `hf`: depth models of Hugging Face transformers (Depth Anything, DPT/MiDaS and others)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from dbd_ray.errors import TeacherError
from dbd_ray.names import PrecisionName
from dbd_ray.storage import kind_at
from dbd_ray.teachers.base import LargerIs
from dbd_ray.teachers.loading import fingerprint_of, optional_package
from dbd_ray.teachers.spec import TeacherSpec
from dbd_ray.teachers.torch_teacher import TorchTeacher, digest_of

CODE_VERSION = 1  # raised when this code gives other maps for the same model
HUB_TIMEOUT_S = 10.0

# meaning of `predicted_depth`, from transformers' post-processing
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
    """A transformers model with its image processor, which resizes photos of any size to the model's.

    Args:
        name: As for `DepthTeacher`, and so are fingerprint and larger_is.
        model: Depth estimation model from `AutoModelForDepthEstimation`.
        processor: The image processor from the same folder.
        device: As for `load_teacher`.
        precision: As for `load_teacher`.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        model: Any,
        processor: Any,
        *,
        larger_is: LargerIs,
        device: str,
        precision: PrecisionName,
    ) -> None:
        super().__init__(name, fingerprint, input_size=None, larger_is=larger_is, device=device, precision=precision)
        self._model = model.to(self.device).eval()
        self._processor = processor
        # ZoeDepth's borders would have to be cut off again
        self._options = {"do_pad": False} if model.config.model_type == "zoedepth" else {}

    def estimate(self, photos: Tensor) -> Tensor:
        inputs = self._processor(
            images=list(photos), return_tensors="pt", input_data_format="channels_first", **self._options
        )
        return cast(Tensor, self._model(pixel_values=inputs["pixel_values"].to(self.device)).predicted_depth)


def load(spec: TeacherSpec, device: str, precision: PrecisionName) -> HuggingFaceTeacher:
    """Load `hf:MODEL-ID` from the local cache or the Hub, or `hf:FOLDER`; safetensors only, no remote code is run.

    Option `larger_is` (near or far) is required for model types that are not known here, and overrides the known ones.

    Raises:
        TeacherError: The package or the model is missing, it is no depth model, its weights are incomplete, or it is
            not known whether its output is depth or inverse depth.
        ConfigError: An option is unknown or out of range, or there is no such device.
    """
    spec.allow_options("larger_is")
    transformers = optional_package("transformers", "transformers", spec)
    where = spec.target
    processor, model, found = _open(transformers, spec)
    missing = [name for name in found["missing_keys"] if not _UNUSED.fullmatch(name)]
    if missing or found["mismatched_keys"]:
        raise TeacherError(
            f"{spec.label}: {len(missing)} weights are missing ({', '.join(sorted(missing)[:5])} ...), "
            f"{len(found['mismatched_keys'])} have another shape; give a complete depth estimation model"
        )
    larger_is = spec.choice("larger_is", get_args(LargerIs)) or _direction(model.config)
    if larger_is is None:
        raise TeacherError(
            f"{spec.label}: it is not known here whether a {model.config.model_type} model gives depth or inverse "
            f"depth; say it: {spec.label}?larger_is=far (depth) or ?larger_is=near (inverse depth)"
        )
    fingerprint = fingerprint_of(
        digest_of(model.state_dict(), without=found["missing_keys"]),
        {
            "code": CODE_VERSION,
            "larger_is": larger_is,
            # as stored in the files: the parsed ones get more entries with each version of transformers
            "config": _public(type(model.config).get_config_dict(where, local_files_only=True)[0]),
            "processor": _public(processor.get_image_processor_dict(where, local_files_only=True)[0]),
        },
    )
    folder = Path(where)
    name = f"{spec.kind}:{folder.absolute().name if kind_at(folder) == 'folder' else where}"
    return HuggingFaceTeacher(
        name,
        fingerprint,
        model,
        processor,
        larger_is=cast(LargerIs, larger_is),
        device=device,
        precision=precision,
    )


def _open(transformers: Any, spec: TeacherSpec) -> tuple[Any, Any, dict[str, Any]]:
    try:
        try:
            return _load(transformers, spec.target, local_only=True)
        except OSError:
            if kind_at(spec.target) == "folder":
                raise
        _check_hub(spec)
        return _load(transformers, spec.target, local_only=False)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise TeacherError(
            f"{spec.label}: transformers cannot load it as a depth estimation model with an image processor and "
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


def _check_hub(spec: TeacherSpec) -> None:
    """Ask once whether the Hub has the model, because its download functions retry for minutes."""
    import huggingface_hub

    try:
        huggingface_hub.HfApi().model_info(spec.target, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - which HTTP library it uses, and so what it raises, changes
        raise TeacherError(
            f"{spec.label}: no such folder, and not to be had from the Hugging Face Hub "
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
