"""Local paths in settings become absolute."""

from pathlib import Path

import pytest

from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.training.local_paths import absolute_checkpoint


def test_paths_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in packaged_models():
        (tmp_path / name).mkdir()  # a folder of that name does not take the model's place
        assert absolute_checkpoint(name) == name
    assert absolute_checkpoint("models:/dbd-ray@champion") == "models:/dbd-ray@champion"
    for path in ("runs/a/model", f"{tmp_path}/runs/a/model", f"file://{tmp_path}/runs/a/model"):
        assert absolute_checkpoint(path) == f"{tmp_path}/runs/a/model"
