from pathlib import Path

import pytest

from dbd_ray.config import train_config
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.training.run_folder import claim_name, find_claim


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
