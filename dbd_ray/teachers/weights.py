"""Reading a teacher's weights from any storage, and knowing them again."""

import hashlib
import json
from importlib import import_module
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from dbd_ray.errors import DatasetError, TeacherError
from dbd_ray.storage import as_uri, read_bytes


def read_weights(target: str, spec: str) -> bytes:
    """Read a weights file, local or by URI.

    Raises:
        TeacherError: It cannot be read.
    """
    try:
        return read_bytes(as_uri(target))
    except FileNotFoundError:
        raise TeacherError(
            f"{spec}: there is no such file on this machine; on a cluster it must lie at this path on every node, "
            "or give a URI that all can read"
        ) from None
    except (OSError, DatasetError) as error:
        raise TeacherError(f"{spec}: the file cannot be read: {error}") from None


def stem(target: str) -> str:
    """What a file or folder is called, without where it lies and without suffix."""
    return PurePosixPath(target.rstrip("/")).stem


def fingerprint_of(weights: bytes | str, preprocessing: dict[str, Any]) -> str:
    """16 hex digits that change with the weights (or with their digest), the preprocessing and the code's version."""
    digest = hashlib.sha256(weights if isinstance(weights, bytes) else weights.encode())
    digest.update(json.dumps(preprocessing, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def optional_package(name: str, package: str, spec: str) -> ModuleType:
    """Import a module of the extra `teachers`.

    Raises:
        TeacherError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise TeacherError(
            f"{spec}: needs the package {package} ({error}); install it with pip install 'dbd-ray[teachers]'"
        ) from None
