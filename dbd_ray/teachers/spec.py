"""The spec that names a depth teacher, `KIND:WHERE?option=value&option=value`, and its parsing."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.names import PrecisionName


class TeacherSpec(NamedTuple):
    """A parsed spec; it is made by `parse` only, and can be sent to other processes.

    Attributes:
        text: The whole spec as it was written, with an absolute path where `parse` made it absolute.
        kind: Name of the kind of teachers, a key of `kinds.TEACHER_KINDS` if there is such a kind.
        target: Path or URI of a file or folder, or a model's name; not empty.
        options: Values of the options by name, both without URL escapes.
    """

    text: str
    kind: str
    target: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, *, absolute: bool = False) -> "TeacherSpec":
        """Parse a spec.

        Args:
            text: `KIND:WHERE`, with options `KIND:WHERE?name=value&name=value`.
            absolute: Make the path of an existing local file or folder absolute, for processes that run in another
                folder.

        Raises:
            TeacherError: The kind or the target is missing.
            ConfigError: The options are not written as name=value, or one is given twice.
        """
        kind, colon, rest = text.partition(":")
        target, question, query = _split(rest)
        if absolute and colon and target and _is_there(target):
            target = str(Path(target).absolute())
            text = f"{kind}:{target}{question}{query}"
        if not (colon and kind and target):
            raise TeacherError(f"teacher {text!r}: write it as KIND:WHERE, for instance litert:pydnetpp.tflite")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        except ValueError:
            raise ConfigError(f"teacher {text!r}: write options as ?name=value&name=value") from None
        if len(dict(pairs)) < len(pairs):
            raise ConfigError(f"teacher {text!r}: an option is given twice")
        return cls(text, kind, target, dict(pairs))

    @property
    def label(self) -> str:
        """Kind and target without options, as error messages name the teacher."""
        return f"{self.kind}:{self.target}"

    def allow_options(self, *names: str) -> None:
        """Check that no options are given but these.

        Raises:
            ConfigError: There is another one; names the first.
        """
        for name in self.options:
            if name not in names:
                known = f"it has {', '.join(names)}" if names else "it has none"
                raise ConfigError(f"{self.label}: {name} is no option of {self.kind} teachers, {known}")

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """Read an option that must be one of a few words.

        Returns:
            Its value; None if it is not given.

        Raises:
            ConfigError: It is another word.
        """
        value = self.options.get(name)
        if value is not None and value not in choices:
            raise ConfigError(f"{self.label}: {name}={value}: choose one of {', '.join(choices)}")
        return value

    def require_cpu(self, device: str, precision: PrecisionName) -> None:
        """Check the device and precision of a teacher that runs on the CPU and computes in its own number format.

        Raises:
            ConfigError: Another device or bfloat16 is asked for, which would have no effect.
        """
        if device not in ("auto", "cpu"):
            raise ConfigError(f"{self.label}: {self.kind} teachers run on the CPU, device={device} has no effect")
        if precision == "bfloat16":
            raise ConfigError(f"{self.label}: precision=bfloat16 has no effect on {self.kind} teachers")


def _split(rest: str) -> tuple[str, str, str]:
    # a folder may have a ? in its name
    for target, question, query in ((rest, "", ""), rest.rpartition("?")):
        if target and _is_there(target):
            return target, question, query
    return rest.partition("?")


def _is_there(target: str) -> bool:
    # not by `storage.kind_at`: that brings pyarrow, for which --help would wait
    try:
        return Path(target).exists()
    except OSError:  # too long for a file's name
        return False
