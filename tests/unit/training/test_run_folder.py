import json
from pathlib import Path

import pytest

from dbd_ray.config import WorkersConfig, train_config
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.training.run_folder import SETTINGS_FILE, claim_name, find_claim, has_checkpoint


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
    for later in ("micro_batch_size", "ingest", "cache_limit_gib"):
        del claimed[later]
    del claimed["workers"]["max_failures"], claimed["augment"]["paste_probability"]
    (tmp_path / "run" / SETTINGS_FILE).write_text(json.dumps(claimed))
    assert find_claim(config) == "key"
    assert find_claim(config.model_copy(update={"workers": WorkersConfig(count=(1, 2))})) == "key"
    # another number of workers may ask for another one: an optimiser step stays the same
    assert find_claim(config.model_copy(update={"micro_batch_size": 2})) == "key"
    with pytest.raises(ConfigError, match=r"\(ingest: auto → streaming\)"):
        find_claim(config.model_copy(update={"ingest": "streaming"}))


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
