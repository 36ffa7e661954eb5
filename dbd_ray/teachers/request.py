"""What somebody asks for with `KIND:WHERE?option=value`."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.names import PrecisionName


class TeacherRequest(NamedTuple):
    """A teacher to be loaded.

    Attributes:
        kind: Name of a kind of teachers.
        target: What stands behind the colon: a file, a folder, a model's name.
        options: What stands behind the question mark.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: Number format of networks that run in torch.
    """

    kind: str
    target: str
    options: Mapping[str, str]
    device: str = "auto"
    precision: PrecisionName = "auto"

    @property
    def spec(self) -> str:
        """The request as it was written, without options."""
        return f"{self.kind}:{self.target}"

    def allow_options(self, *names: str) -> None:
        """Refuse options that this kind does not have.

        Raises:
            ConfigError: Names the first one.
        """
        for name in self.options:
            if name not in names:
                known = f"it has {', '.join(names)}" if names else "it has none"
                raise ConfigError(f"{self.spec}: {name} is no option of {self.kind} teachers, {known}")

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """An option that is one of a few words, None where it is not given.

        Raises:
            ConfigError: It is another word.
        """
        value = self.options.get(name)
        if value is not None and value not in choices:
            raise ConfigError(f"{self.spec}: {name}={value}: choose one of {', '.join(choices)}")
        return value

    def require_cpu(self) -> None:
        """Refuse a device or number format on teachers that have no choice.

        Raises:
            ConfigError: One was asked for.
        """
        if self.device not in ("auto", "cpu"):
            raise ConfigError(f"{self.spec}: {self.kind} teachers run on the CPU, device={self.device} has no effect")
        if self.precision == "bfloat16":
            raise ConfigError(f"{self.spec}: precision=bfloat16 has no effect on {self.kind} teachers")


def parse_request(spec: str, *, device: str, precision: PrecisionName) -> TeacherRequest:
    """Take `KIND:WHERE?option=value&option=value` apart.

    Raises:
        TeacherError: There is no kind or nothing behind it.
        ConfigError: The options are not written as name=value, or one is given twice.
    """
    where, _, query = spec.partition("?")
    kind, colon, target = where.partition(":")
    if not (colon and kind and target):
        raise TeacherError(f"teacher {spec!r}: write it as KIND:WHERE, for instance litert:pydnetpp.tflite")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigError(f"teacher {spec!r}: write options as ?name=value&name=value") from None
    if len(dict(pairs)) < len(pairs):
        raise ConfigError(f"teacher {spec!r}: an option is given twice")
    return TeacherRequest(kind, target, dict(pairs), device, precision)


def resolve_spec(spec: str) -> str:
    """Make the path of a local file or folder in a spec absolute, for processes that run in another folder."""
    where, question, query = spec.partition("?")
    kind, colon, target = where.partition(":")
    if not (colon and target and Path(target).exists()):
        return spec
    return f"{kind}:{Path(target).absolute()}{question}{query}"
