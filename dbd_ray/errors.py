"""The exceptions that users meet; each message says what was wrong and what to do.

DbdRayError
├── ConfigError      settings
├── PhotoError       one photo, with a stable reason
├── DatasetError     a labelled or prepared dataset, with all its problems
├── CheckpointError  weights and their card
├── TrainingError    a run
├── TeacherError     a depth teacher
└── SidecarError     the XMP file beside a photo
"""

from collections.abc import Sequence
from typing import Literal

from dbd_ray.masking import masked

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "DbdRayError",
    "PhotoError",
    "SidecarError",
    "TeacherError",
    "TrainingError",
]

PhotoReason = Literal[
    "empty_file",
    "not_an_image",
    "truncated",
    "too_many_bytes",
    "too_many_pixels",
    "needs_extra_heif",
    "needs_extra_raw",
    "needs_extra_jxl",
    "undecodable",
    "out_of_memory",
]


class DbdRayError(Exception):
    """Base of everything that dbd_ray raises on purpose; the command line prints it without a traceback.

    Args:
        message: What was wrong and what to do; secrets in it are masked.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class ConfigError(DbdRayError):
    """A setting is unknown, out of range, or would have no effect."""


class PhotoError(DbdRayError):
    """A photo cannot be used.

    Args:
        reason: Stable code, meant for manifests and for programs to branch on.
        message: Text for people: what was wrong with these bytes, and what to do.
    """

    def __init__(self, reason: PhotoReason, message: str):
        super().__init__(f"{message} [{reason}]")
        self.reason: PhotoReason = reason
        self.message = masked(message)

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[PhotoReason, str]]:
        # the default would rebuild from the formatted text and lose the reason between Ray workers
        return (type(self), (self.reason, self.message))


class DatasetError(DbdRayError):
    """A labelled dataset has problems; all of them are listed, not just the first.

    Args:
        where: Folder or URI of the dataset.
        problems: One line per problem, naming the file.
    """

    def __init__(self, where: str, problems: Sequence[str]):
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{where}: {len(problems)} problem(s):\n{lines}")
        self.where = masked(where)
        self.problems = tuple(map(masked, problems))

    def __reduce__(self) -> tuple[type["DatasetError"], tuple[str, tuple[str, ...]]]:
        return (type(self), (self.where, self.problems))


class CheckpointError(DbdRayError):
    """A checkpoint is missing, incomplete, or does not fit the network."""


class TrainingError(DbdRayError):
    """A training run cannot go on, for instance because a loss term became non-finite."""


class TeacherError(DbdRayError):
    """A depth teacher cannot be loaded, or cannot predict these photos."""


class SidecarError(DbdRayError):
    """The XMP file beside a photo is damaged, or cannot be written; it was left as it is."""


# torch.OutOfMemoryError is a RuntimeError; torch on CPUs, ONNX Runtime, OpenVINO and OpenCV have no exception for it
# the last two are oneDNN's and OpenVINO's
_OUT_OF_MEMORY = ("alloc", "out of memory", "not enough memory", "could not create a primitive", "broken promise")


def out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, which every library says in an error of its own."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def own_error(error: BaseException | None) -> DbdRayError | None:
    """Find the DbdRayError inside an error of Ray, which wraps the error of a task, sometimes more than once."""
    # one of Ray's that carries ours is an instance of both, and its text is a traceback
    while error is not None and (hasattr(error, "cause") or not isinstance(error, DbdRayError)):
        error = getattr(error, "cause", None) or error.__cause__
    return error
