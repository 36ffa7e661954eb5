"""Building of networks by name: a new architecture is one class and `@register_model("name")`."""

from collections.abc import Callable
from typing import TypeVar

from dbd_ray.config import NetworkConfig
from dbd_ray.errors import ConfigError
from dbd_ray.models.output import FocusNetwork

Build = TypeVar("Build", bound=Callable[[NetworkConfig], FocusNetwork])

_BUILDERS: dict[str, Callable[[NetworkConfig], FocusNetwork]] = {}


def register_model(name: str) -> Callable[[Build], Build]:
    """Make a network class (or function) that takes a NetworkConfig available as `architecture: name`.

    Raises:
        ConfigError: The name is taken.
    """

    def register(build: Build) -> Build:
        if name in _BUILDERS:
            raise ConfigError(f"architecture {name!r} is registered twice: choose another name for {build!r}")
        _BUILDERS[name] = build
        return build

    return register


def architectures() -> tuple[str, ...]:
    """List the names that `NetworkConfig.architecture` may have, sorted."""
    return tuple(sorted(_BUILDERS))


def build_network(config: NetworkConfig) -> FocusNetwork:
    """Build the network that a configuration describes, in training mode.

    Args:
        config: Architecture, backbone and variant. Random weights follow torch's global seed.

    Returns:
        A module: normalised float image N×3×H×W -> NetworkOutput, with an `encoder` that holds `mean` and `std`.

    Raises:
        ConfigError: The architecture or the backbone is unknown or unfit.
        CheckpointError: The backbone's weights cannot be loaded.
    """
    if config.architecture not in _BUILDERS:
        raise ConfigError(
            f"network.architecture: {config.architecture!r} is unknown, choose one of {', '.join(architectures())}"
        )
    return _BUILDERS[config.architecture](config)
