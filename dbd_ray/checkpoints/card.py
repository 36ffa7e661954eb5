"""The card that travels with a checkpoint's weights: all that is needed to rebuild and to use the network."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

from dbd_ray.config import NetworkConfig, Settings
from dbd_ray.models.output import FocusNetwork

FORMAT_VERSION = 1  # of the card; a change that old readers cannot follow raises it


class Card(Settings):
    """What a checkpoint holds and where it comes from."""

    format_version: Literal[1] = 1
    name: str = Field(min_length=1)
    network: NetworkConfig = Field(description="Rebuilds the network; backbone_weights is null, they are inside.")
    input_size: tuple[int, int] = Field(description="Height and width of the training pictures, px.")
    mean: tuple[float, float, float] = Field(description="RGB mean in [0,1] that the input is normalised with.")
    std: tuple[float, float, float] = Field(description="RGB standard deviation, likewise.")
    polarity: Literal["focus"] = Field("focus", description="A logit above 0 means in focus.")
    metrics: dict[str, float] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="Dataset fingerprint, recipe, epochs, versions, licence of the data."
    )
    parameters: int = Field(0, ge=0, description="Number of weights; filled in when the checkpoint is saved.")
    fingerprint: str = Field("", description="SHA-256 of model.safetensors; filled in when it is saved.")

    @field_validator("network")
    @classmethod
    def _weights_are_inside(cls, network: NetworkConfig) -> NetworkConfig:
        # a card that came with somebody's checkpoint must not make the reader fetch anything
        if network.backbone_weights is not None:
            raise ValueError("backbone_weights must be null, the checkpoint holds all weights")
        return network

    @field_serializer("network")
    def _without_settings_of_no_effect(self, network: NetworkConfig) -> dict[str, Any]:
        # written in full, so that new defaults never change old checkpoints, but still accepted when read again
        written = network.model_dump(mode="json")
        if network.srfb == "none":
            del written["branches"]
        return written


def make_card(
    network: FocusNetwork,
    config: NetworkConfig,
    *,
    name: str,
    input_size: tuple[int, int],
    metrics: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Card:
    """Describe a network for its checkpoint.

    Args:
        network: Built by `build_network(config)`; its encoder's mean and std are recorded.
        config: What it was built from.
        name: What people call it.
        input_size: Height and width of its training pictures, px.
        metrics: By the names of the metric report.
        provenance: Where it comes from; values must be JSON.

    Returns:
        The card, without fingerprint: `save_checkpoint` adds it.
    """
    return Card(
        name=name,
        network=config.model_copy(update={"backbone_weights": None}),
        input_size=input_size,
        mean=network.encoder.mean,
        std=network.encoder.std,
        metrics=dict(metrics or {}),
        provenance=dict(provenance or {}),
    )
