"""What the loaders of the kinds share: reading weights from any storage, fingerprints, and optional packages."""

import hashlib
import json
from importlib import import_module
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from dbd_ray.errors import DatasetError, TeacherError
from dbd_ray.storage import as_uri, read_bytes
from dbd_ray.teachers.spec import TeacherSpec


def read_weights(spec: TeacherSpec) -> bytes:
    """Read the weights file that a spec's target names, by path or URI.

    Raises:
        TeacherError: It cannot be read.
    """
    try:
        return read_bytes(as_uri(spec.target))
    except FileNotFoundError:
        raise TeacherError(
            f"{spec.label}: there is no such file on this machine; on a cluster it must lie at this path on every "
            "node, or give a URI that all can read"
        ) from None
    except (OSError, DatasetError) as error:
        raise TeacherError(f"{spec.label}: the file cannot be read: {error}") from None


def stem(target: str) -> str:
    """Name of a file or folder without its parent folders and without its suffix."""
    return PurePosixPath(target.rstrip("/")).stem


def fingerprint_of(weights: bytes | str, preprocessing: dict[str, Any]) -> str:
    """Fingerprint of a teacher: it changes with the weights, the preprocessing and the version of the code.

    Args:
        weights: Content of the weights file, or a digest of the weights.
        preprocessing: What else decides about the maps, the code's version included; JSON values.

    Returns:
        16 hex digits.
    """
    digest = hashlib.sha256(weights if isinstance(weights, bytes) else weights.encode())
    digest.update(json.dumps(preprocessing, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def optional_package(module: str, package: str, spec: TeacherSpec) -> ModuleType:
    """Import a module of a package that only the extra `teachers` installs.

    Raises:
        TeacherError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise TeacherError(
            f"{spec.label}: needs the package {package} ({error}); install it with pip install 'dbd-ray[teachers]'"
        ) from None
