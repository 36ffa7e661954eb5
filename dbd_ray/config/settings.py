"""The base of all settings (immutable, checked), and reading them from YAML with `a.b=c` overrides."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dbd_ray.errors import ConfigError

# below, the networks' deepest stage (stride 32) is empty; above, one training picture takes gigabytes
Side = Annotated[int, Field(ge=32, le=8192)]
# height and width; one number stands for both
Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(lambda size: (size, size) if isinstance(size, int) and not isinstance(size, bool) else size),
]
# name of a registered model: MLflow refuses / and :, and what follows @ is an alias
ModelName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]

# PyYAML lets Python's errors of 2024-02-30, of 0x_ and of deep nesting pass
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+=-]*", name):
        raise ValueError("becomes a folder's name: use letters, digits and _ . + = - only, none of . + = - first")
    return name


# name of a run or a study
FolderName = Annotated[str, AfterValidator(_folder_name)]


def local_path(path: str | os.PathLike[str]) -> Path:
    """Check that a path names a place on this machine.

    Raises:
        ConfigError: It is empty, or the address of another place, which would be made a folder called `s3:`.
    """
    if not os.fspath(path):
        raise ConfigError("out: an empty path names no place; write . for the current folder")
    if re.match(r"[A-Za-z][\w+.-]+:/", os.fspath(path)):
        raise ConfigError(f"out: {path} is an address: this command writes files of this machine, give a path")
    return Path(path)


LocalPath = Annotated[Path, BeforeValidator(local_path)]


class Settings(BaseModel):
    """Base of all settings: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


def build(kind: type[AnySettings], settings: Mapping[str, Any], *, where: str) -> AnySettings:
    """Validate settings and turn pydantic's complaints into one ConfigError that names each field."""
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(settings)'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{where}:\n" + "\n".join(lines)) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except _NOT_YAML as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: must hold a mapping of settings, found {type(loaded).__name__}")
    return loaded


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Turn `["a.b=1", "c=x"]` into `{"a": {"b": 1}, "c": "x"}`; values are YAML."""
    settings: dict[str, Any] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override}: write it as name=value, e.g. optimizer.lr=0.001")
        try:
            nested: Any = yaml.safe_load(value)
        except _NOT_YAML as error:
            raise ConfigError(f"--set {override}: the value is not valid YAML: {error}") from None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        settings = merge(settings, nested)
    return settings


def layered(path: str | Path | None, options: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Read a command's settings: the file's, if there is one, then the options', then the overrides'."""
    return merge(merge(read_yaml(path) if path else {}, options), parse_overrides(overrides))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`, mapping by mapping; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {"a": {"b": 1}} into {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def unflatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn {"a.b": 1} into {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = name.split(".")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return nested
