"""The kinds of depth teachers and loading one of them; a new kind is one file and one entry in `TEACHER_KINDS`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from dbd_ray.errors import TeacherError
from dbd_ray.names import PrecisionName
from dbd_ray.teachers.spec import TeacherSpec

if TYPE_CHECKING:
    # brings numpy, for which a command's help should not wait
    from dbd_ray.teachers.base import DepthTeacher


class TeacherKind(NamedTuple):
    """A kind of teachers.

    Attributes:
        load: Its function `load(spec: TeacherSpec, device: str, precision: PrecisionName) -> DepthTeacher`, written
            "module:function" and imported when a teacher of this kind is loaded.
        form: How a spec of this kind is written.
        uses_gpu: Whether its teachers are faster on a GPU.
        help: One line for `--help`.
    """

    load: str
    form: str
    uses_gpu: bool
    help: str


TEACHER_KINDS: Mapping[str, TeacherKind] = MappingProxyType(
    {
        "litert": TeacherKind(
            "dbd_ray.teachers.litert:load",
            "litert:FILE.tflite",
            False,
            "PyDNet++, MiDaS v2.1 small or another LiteRT model, on the CPU; "
            "?threads=N, and for models it does not know ?larger_is=near|far&normalize=unit|imagenet&output=NAME",
        ),
        "hf": TeacherKind(
            "dbd_ray.teachers.hf:load",
            "hf:MODEL-ID-OR-FOLDER",
            True,
            "a depth model of Hugging Face transformers (Depth Anything, DPT/MiDaS, ZoeDepth ...); ?larger_is=near|far",
        ),
        "hourglass": TeacherKind(
            "dbd_ray.teachers.hourglass:load",
            "hourglass:WEIGHTS.pth",
            True,
            "the hourglass network of Chen et al. 2016 with the weights that MegaDepth published",
        ),
        "self": TeacherKind(
            "dbd_ray.teachers.own:load", "self:CHECKPOINT", True, "the depth head of a network trained with dbd-ray"
        ),
        "rendered": TeacherKind(
            "dbd_ray.teachers.rendered:load", "rendered:DATASET", False, "the true depth of a prepared dataset's scenes"
        ),
    }
)


def load_teacher(spec: str | TeacherSpec, *, device: str = "auto", precision: PrecisionName = "auto") -> "DepthTeacher":
    """Load a depth teacher and try it out, so that one that cannot teach fails here.

    Args:
        spec: KIND:WHERE, with options KIND:WHERE?name=value&name=value, see `teacher_help`; or the parsed spec.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: Number format of networks that run in torch; "auto" is bfloat16 on GPUs that have it, else float32.

    Raises:
        TeacherError: There is no such kind, a package or a file is missing, or it is not a depth estimator.
        ConfigError: An option is unknown or has no effect on this teacher, or there is no such device.
        CheckpointError: A checkpoint of a `self` teacher is missing or damaged.
        DatasetError: A prepared dataset is missing or damaged.
    """
    if isinstance(spec, str):
        spec = TeacherSpec.parse(spec)
    module, _, function = teacher_kind(spec).load.partition(":")
    load: Callable[[TeacherSpec, str, PrecisionName], DepthTeacher] = getattr(import_module(module), function)
    teacher = load(spec, device, precision)
    teacher.try_out()
    return teacher


def teacher_kind(spec: TeacherSpec) -> TeacherKind:
    """Find the kind of a teacher.

    Raises:
        TeacherError: There is no such kind; lists those that there are.
    """
    if spec.kind not in TEACHER_KINDS:
        raise TeacherError(f"teacher {spec.text!r}: {spec.kind!r} is no kind of teacher; there are\n{teacher_help()}")
    return TEACHER_KINDS[spec.kind]


def teacher_help() -> str:
    """Describe each kind of teachers in one line: how a spec is written, and what the teacher is."""
    return "\n".join(f"{kind.form}: {kind.help}" for kind in TEACHER_KINDS.values())
