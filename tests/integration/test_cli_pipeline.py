"""From labelled photos to focus maps of other photos, by commands alone."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dbd_ray.tracking.store import database_file

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.slow]

Command = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = """
name: tiny
data: [data]
epochs: 1
batch_size: 2
network: {backbone: mobilenetv2_035, srfb: none, reduction: 16, depth: false}
objective: {depth_weight: 0}
"""


@pytest.fixture(scope="module")
def folder(part_of_cuhk: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight real photos in CUHK's layout, of which two test, and the settings of a run."""
    folder = tmp_path_factory.mktemp("work") / "50% of #2? [it's] ünï “q”"
    part_of_cuhk(folder / "cuhk", photos=8, test=2)
    (folder / "tiny.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def dbd_ray(folder: Path) -> Command:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")
    }

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "dbd-ray", *arguments],
            cwd=folder,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def prepared(dbd_ray: Command) -> str:
    options = ["--size", "64", "--validation", "0.3"]
    return dbd_ray("prepare", "cuhk", "--out", "data", *options).stdout


@pytest.fixture(scope="module")
def trained(dbd_ray: Command, prepared: str) -> subprocess.CompletedProcess[str]:
    return dbd_ray("train", "--config", "tiny.yaml", "--set", "seed=5")


def test_prepare_says_what_it_wrote(prepared: str, folder: Path) -> None:
    said = re.fullmatch(
        r"data: 2 test, (\d) train, (\d) val pictures of 64×64 px, \w+", prepared.splitlines()[-1]
    )  # which are held out is decided by their names
    assert said
    assert int(said[1]) + int(said[2]) == 6
    assert int(said[2]) >= 1
    info = json.loads((folder / "data" / "dataset.json").read_text())
    assert (info["rows"]["test"], info["sources"], info["input_size"]) == (2, {"cuhk": 8}, [64, 64])


def test_train_shows_loss_speed_and_time_left_and_says_where_the_model_is(
    trained: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert re.search(r"epoch 1/1  loss \d+\.\d+  \d+\.\d images/s  \d+ s left", trained.stderr)
    assert re.search(r"epoch 1/1 done  loss \d", trained.stderr)
    assert "Traceback" not in trained.stderr
    best, model, tracking = trained.stdout.splitlines()
    assert re.fullmatch(r"best epoch 1 of 1: mae 0\.\d{4}, f_adaptive_pooled_dd_notebook .*", best)
    assert model == f"model: {folder}/runs/tiny/model"
    assert "mlflow ui --backend-store-uri " in tracking
    assert database_file(shlex.split(tracking)[-1]) == folder / "runs" / "mlflow.db"
    card = json.loads((folder / "runs" / "tiny" / "model" / "card.json").read_text())
    assert (card["name"], card["provenance"]["seed"], card["network"]["reduction"]) == ("tiny", 5, 16)


def test_training_again_keeps_the_finished_run_and_says_so(
    trained: subprocess.CompletedProcess[str], dbd_ray: Command, folder: Path
) -> None:
    weights = folder / "runs" / "tiny" / "model" / "model.safetensors"
    before = (weights.stat().st_mtime_ns, weights.read_bytes())
    again = dbd_ray("train", "--config", "tiny.yaml", "--set", "seed=5")
    assert "run tiny is finished already" in again.stdout + again.stderr
    assert trained.stdout.splitlines() == again.stdout.splitlines()[-3:]
    assert (weights.stat().st_mtime_ns, weights.read_bytes()) == before


def test_other_settings_under_a_used_name_are_refused(
    trained: subprocess.CompletedProcess[str], dbd_ray: Command
) -> None:
    refused = dbd_ray("train", "--config", "tiny.yaml", "--set", "seed=6", status=2)
    assert refused.stderr.startswith("error: run tiny exists in ")
    assert "seed: 5 → 6" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_data_that_is_not_prepared_is_named(dbd_ray: Command) -> None:
    refused = dbd_ray("train", "--config", "tiny.yaml", "--set", "name=other", "--set", "data=[cuhk]", status=2)
    assert re.search(r"^error: .*cuhk: 1 problem\(s\):\n  - dataset\.json is missing", refused.stderr, re.M)
    assert "Traceback" not in refused.stderr


def test_weights_and_depths_that_are_not_there_are_named_by_their_settings(dbd_ray: Command, prepared: str) -> None:
    new_run = ("train", "--config", "tiny.yaml", "--set", "name=other", "--set")
    refused = dbd_ray(*new_run, "network.backbone_weights=absent.safetensors", status=2)
    assert re.match(r"error: network\.backbone_weights: \S*absent\.safetensors is no local file", refused.stderr)
    refused = dbd_ray(*new_run, "network.depth=true", "--set", "objective.depth_weight=0.1", status=2)
    assert "error: network.depth has nothing to learn from" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("data", [("--root", "cuhk"), ("--prepared", "data")], ids=lambda data: data[0])
def test_the_trained_model_is_measured(
    trained: subprocess.CompletedProcess[str], dbd_ray: Command, folder: Path, data: tuple[str, str]
) -> None:
    out = f"report{data[0]}"
    measured = dbd_ray("evaluate", "runs/tiny/model", *data, "--out", out)
    assert f"report: {out}/report.html" in measured.stdout + measured.stderr
    written = json.loads((folder / out / "metrics.json").read_text())
    assert (written["dataset"], written["images"], len(written["history"])) == ("cuhk", 2, 1)
    page = (folder / out / "report.html").read_text()
    assert all(text in page for text in ("tiny on cuhk", "out_of_focus0001", "out_of_focus0002"))


def test_the_trained_model_finds_focus_in_other_photos(
    trained: subprocess.CompletedProcess[str], dbd_ray: Command, folder: Path
) -> None:
    found = dbd_ray("predict", "cuhk/image", "--out", "found", "--model", "runs/tiny/model")
    assert len(found.stdout.splitlines()) == 1 + 8
    for photo in (folder / "cuhk" / "image").iterdir():
        with Image.open(photo) as picture, Image.open(folder / "found" / f"{photo.name}.focus.png") as focus:
            assert picture.size == focus.size
        about = json.loads((folder / "found" / f"{photo.stem}.json").read_text())
        assert (about["photo"], about["model"]) == (f"cuhk/image/{photo.name}", "tiny")
