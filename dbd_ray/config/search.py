"""The search space of a sweep: settings of a run, each with a range or a list of values."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from dbd_ray.config.settings import Settings

# gamma spans the paper's Table 3
DEFAULT_SEARCH: dict[str, Any] = {
    "objective": {"depth_weight": {"low": 0.01, "high": 5.0, "log": True}},
    "network": {"reduction": [2, 4, 8], "branches": [2, 3, 4]},
    "optimizer": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}


class Range(Settings):
    """A number between two bounds."""

    low: float
    high: float
    log: bool = Field(False, description="Draw evenly by order of magnitude.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("log needs low above 0")
        return self

    def of_integers(self, current: Any) -> bool:
        """Tell whether this is a range of whole numbers: the setting's present value and both bounds are such."""
        return isinstance(current, int) and not isinstance(current, bool) and self.low % 1 == self.high % 1 == 0

    def holds(self, value: Any) -> bool:
        """Tell whether a value lies within the bounds."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def ends(self) -> tuple[Any, ...]:
        """Give the values that settings are checked with on behalf of all: the bounds."""
        return (self.low, self.high)


class Choice(Settings):
    """One of some values."""

    values: tuple[Any, ...] = Field(min_length=2)

    def holds(self, value: Any) -> bool:
        """Tell whether a value is one of the choices."""
        return value in self.values

    def ends(self) -> tuple[Any, ...]:
        """Give the values that settings are checked with on behalf of all: every choice."""
        return self.values


Space = dict[str, Range | Choice]


def parse_space(search: Mapping[str, Any]) -> Space:
    """Read `{a: {b: {low: …, high: …}, c: [1, 2]}}` as `{"a.b": Range, "a.c": Choice}`.

    Raises:
        ValueError: Names the setting whose range cannot be read; or there is none.
    """
    space = dict(_leaves(search, ""))
    if not space:
        raise ValueError("search is empty: name at least one setting, e.g. optimizer: {lr: [0.001, 0.003]}")
    return space


def _leaves(search: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Range | Choice]]:
    for key, value in search.items():
        name = f"{prefix}{key}"
        if value is None:  # `--set search.optimizer.lr=null` takes one away that the file names
            continue
        try:
            if isinstance(value, list | tuple):
                yield name, Choice(values=tuple(value))
            elif isinstance(value, Mapping) and value.keys() & Range.model_fields.keys():
                yield name, Range(**value)
            elif isinstance(value, Mapping):
                yield from _leaves(value, f"{name}.")
            else:
                raise ValueError(f"{name}: write {{low: …, high: …, log: true}}, or a list of at least two values")
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
            raise ValueError(f"{name}: {told}") from None
