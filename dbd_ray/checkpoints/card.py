"""The card of a checkpoint: what is needed beside the weights to rebuild and to use the network."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

from dbd_ray.config import NetworkConfig, Settings
from dbd_ray.masking import masked_values
from dbd_ray.models.output import FocusNetwork

FORMAT_VERSION = 1  # the card's format; raised by changes that older versions cannot read


class Card(Settings):
    """Description of a checkpoint: network, preprocessing, metrics and provenance."""

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
        config: Settings that the network was built from.
        name: Name of the model.
        input_size: Height and width of its training pictures, px.
        metrics: Values by name, see `metrics.METRIC_NAMES`.
        provenance: Data, recipe, versions and licences; values must be JSON, and secrets in them are masked.

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
        provenance=masked_values(provenance or {}),
    )
