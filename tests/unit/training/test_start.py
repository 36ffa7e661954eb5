from pathlib import Path

import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.config import TrainConfig
from dbd_ray.errors import ConfigError
from dbd_ray.training.start import load_start, starting_network


def _config(model: Path | str, **network: object) -> TrainConfig:
    own = load_checkpoint(model)[1].network.model_dump() if Path(model).is_dir() else {}
    return TrainConfig.model_validate(
        {
            "name": "tuned",
            "data": ["unused"],
            "epochs": 1,
            "batch_size": 2,
            "network": {**own, **network},
            "objective": {"depth_weight": 0},
            "start_from": str(model),
        }
    )


def test_training_begins_with_the_weights_of_the_detector_and_says_which(tiny_model: Path) -> None:
    start = load_start(_config(tiny_model))
    assert start is not None
    network, card = load_checkpoint(tiny_model)
    assert start.name == f"{card.name}@{card.fingerprint[:16]}"
    found = starting_network(_config(tiny_model), start).state_dict()
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], values) for name, values in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in starting_network(_config(tiny_model), start).parameters())


def test_without_a_detector_training_begins_with_what_the_network_says(tiny_model: Path) -> None:
    config = _config(tiny_model).model_copy(update={"start_from": None})
    assert load_start(config) is None
    network = starting_network(config, None)
    assert network.state_dict().keys() == load_checkpoint(tiny_model)[0].state_dict().keys()


def test_options_that_matter_in_training_only_may_differ(tiny_model: Path) -> None:
    assert load_start(_config(tiny_model, backbone_options={"drop_path_rate": 0.1})) is not None


def test_another_network_is_refused_with_the_settings_to_change(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"^start_from: .*set network\.sab=True$"):
        load_start(_config(tiny_model, sab=False))


def test_a_detector_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^start_from: .*absent.*neither a checkpoint folder"):
        load_start(_config("absent", depth=False))


def test_a_packaged_model_can_be_started_from_by_its_name() -> None:
    for name, folder in packaged_models().items():
        own = load_checkpoint(folder)[1].network.model_dump()
        start = load_start(_config(name, **own))
        assert start is not None
        assert start.name.startswith(f"{name}@")


def test_weights_of_the_backbone_beside_it_would_have_no_effect(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="backbone_weights has no effect with start_from"):
        _config(tiny_model, backbone_weights="timm")
