import json
import re
from pathlib import Path

import pytest

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import save_checkpoint
from dbd_ray.config import WorkersConfig, load_train_config, train_config
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.models import build_network
from dbd_ray.training.open_run import ReadyRun, open_run
from dbd_ray.training.run_folder import (
    SETTINGS_FILE,
    TrainedModel,
    claim_name,
    find_claim,
    has_checkpoint,
    write_result,
)


def _prepare(folder: Path, fingerprint: str) -> None:
    folder.mkdir(exist_ok=True)
    counts = {"parts": "parts-1", "input_size": (64, 64), "rows": {"train": 8}, "sources": {"cuhk": 8}}
    write_info(str(folder), PreparedInfo(**counts, depth_rows=0, image_bytes=1, fingerprint=fingerprint))


def test_data_prepared_anew_from_other_photos_does_not_go_on_in_the_old_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = {"name": "run", "data": [str(data)], "storage": str(tmp_path)}
    config = train_config(settings, where="test")
    _prepare(data, "first")
    (tmp_path / "run").mkdir()
    claim_name(config, "key")
    assert find_claim(config) == "key"
    _prepare(data, "second")
    with pytest.raises(ConfigError, match=r"data_fingerprints: \['first'\] → \['second'\]"):
        find_claim(config)


def test_a_run_that_began_before_a_setting_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    settings = {"name": "run", "data": [str(tmp_path / "data")], "storage": str(tmp_path)}
    config = train_config(settings, where="test")
    _prepare(tmp_path / "data", "first")
    (tmp_path / "run").mkdir()
    claim_name(config, "key")
    claimed = json.loads((tmp_path / "run" / SETTINGS_FILE).read_text())
    assert "keep" not in claimed  # not even of a study, which has no defaults of its own to fill in
    for later in ("micro_batch_size", "ingest", "cache_limit_gib"):
        del claimed[later]
    del claimed["workers"]["max_failures"], claimed["augment"]["paste_probability"]
    (tmp_path / "run" / SETTINGS_FILE).write_text(json.dumps(claimed))
    assert find_claim(config) == "key"
    assert find_claim(config.model_copy(update={"workers": WorkersConfig(count=(1, 2))})) == "key"
    # another number of workers may ask for another one: an optimiser step stays the same
    assert find_claim(config.model_copy(update={"micro_batch_size": 2})) == "key"
    # nor does it matter when a run would be given up
    patient = {"objective": {"kind": "adversarial", "adversarial": {"stop_at_loss": None}}}
    adversarial = {"objective": {"kind": "adversarial"}}
    again = train_config({**settings, "name": "again", **adversarial}, where="test")
    (tmp_path / "again").mkdir()
    claim_name(again, "key")
    assert find_claim(train_config({**settings, "name": "again", **patient}, where="test")) == "key"
    with pytest.raises(ConfigError, match=r"\(ingest: auto → streaming\)"):
        find_claim(config.model_copy(update={"ingest": "streaming"}))


def test_more_epochs_of_a_finished_run_are_had_by_the_settings_that_the_error_names(tmp_path: Path) -> None:
    network = {"backbone": "mobilenetv2_035", "srfb": "none", "reduction": 8, "depth": False}
    weights = {"backbone_weights": "timm"}
    run = {"name": "run", "data": [str(tmp_path / "data")], "storage": str(tmp_path), "objective": {"depth_weight": 0}}
    settings = {**run, "network": network | weights, "epochs": 12}
    config = train_config(settings, where="test")
    _prepare(tmp_path / "data", "first")
    claim_name(config, "key")
    longer = train_config({**settings, "epochs": 20}, where="test")
    with pytest.raises(ConfigError, match="choose another name, or delete that folder"):
        open_run(longer)  # it is not finished

    built = build_network(config.network.model_copy(update={"backbone_weights": None}))
    folder = f"{tmp_path}/run/model"
    save_checkpoint(folder, built, make_card(built, config.network, name="run", input_size=(64, 64)))
    write_result(config, TrainedModel(folder, {"epoch": 12}, [{"epoch": 12}], "id", "sqlite:///x"))
    with pytest.raises(ConfigError, match=r"epochs: 12 → 20.*its 12 epochs are over") as refused:
        open_run(longer)
    sets = re.findall(r"--set ([^ ;]+)", str(refused.value))
    (tmp_path / "run.yaml").write_text(json.dumps({**settings, "epochs": 20}))
    further = open_run(load_train_config(tmp_path / "run.yaml", sets))
    assert isinstance(further, ReadyRun)
    assert (further.config.name, further.config.epochs, further.config.start_from) == ("run-20", 8, folder)
    with pytest.raises(ConfigError, match="choose another name, or delete that folder"):
        open_run(longer.model_copy(update={"seed": 1}))


@pytest.mark.parametrize("folder", ["runs", "what?", "[2024] *", "feature%2Flogin"])
def test_a_run_has_a_checkpoint_once_an_epoch_is_complete(tmp_path: Path, folder: str) -> None:
    tmp_path = tmp_path / folder
    config = train_config({"name": "run", "data": ["unused"], "storage": str(tmp_path)}, where="test")
    assert not has_checkpoint(config)
    checkpoint = tmp_path / "run" / "checkpoint_2026-01-01"
    checkpoint.mkdir(parents=True)
    assert not has_checkpoint(config)
    (checkpoint / "card.json").touch()
    assert has_checkpoint(config)


@pytest.mark.parametrize("content", ["null", "[]", "7", "[" * 100_000], ids=lambda content: content[:5])
def test_a_record_that_is_no_mapping_is_named_as_damaged(tmp_path: Path, content: str) -> None:
    settings = {"name": "mine", "data": [str(tmp_path / "data")], "storage": str(tmp_path)}
    config = train_config(settings, where="test")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.json").write_text(content)
    with pytest.raises(ConfigError, match=r"mine/train\.json is damaged .* delete it"):
        find_claim(config)
