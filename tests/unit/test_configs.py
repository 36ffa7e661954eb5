"""Every configuration of `jobs/configs` runs with what the README has made, after the commands that it names."""

import re
import shlex
from pathlib import Path

import pytest

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import save_checkpoint
from dbd_ray.config import (
    EvaluateConfig,
    PrepareConfig,
    TrainConfig,
    build,
    layered,
    load_ablate_config,
    load_train_config,
    load_tune_config,
)
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.models import build_network
from dbd_ray.training.open_run import ReadyRun, open_run
from dbd_ray.tuning.grid import ReadyGrid
from dbd_ray.tuning.paper import open_ablation, open_gamma_grid
from dbd_ray.tuning.sweep import ReadySweep, open_sweep

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "jobs" / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True)
def after_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with what the README's commands have made by then."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    _prepared("runs/cuhk", (320, 320), "cuhk", depth=True)
    _trained(load_train_config(ROOT / "jobs/configs/cuhk-mobilenetv2.yaml"))


def _prepared(out: str, size: tuple[int, int], source: str, *, depth: bool = False) -> None:
    Path(out).mkdir(parents=True)
    rows = {"train": 80, "val": 10, "test": 10}
    counts = {"rows": rows, "sources": {source: 100}, "depth_rows": 100 * depth, "image_bytes": 1}
    write_info(out, PreparedInfo(parts="parts-1", input_size=size, fingerprint=out, **counts))


def _trained(run: TrainConfig) -> None:
    config = run.network.model_copy(update={"backbone_weights": None})  # which need a network to come from
    network = build_network(config)
    save_checkpoint(f"runs/{run.name}/model", network, make_card(network, config, name=run.name, input_size=(320, 320)))


def _commands(path: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(r"^#   (dbd-ray .*)", (ROOT / path).read_text(), re.MULTILINE)]


def _file(command: list[str]) -> str:
    return command[command.index("--config") + 1]


def _checked(command: list[str], *, run: bool) -> None:
    path = ROOT / _file(command)
    if command[0] == "prepare":
        source = {"photos": "given", "scenes": 1} if "--photos" in command else {"root": command[1]}
        config = build(PrepareConfig, layered(path, source, []), where=str(path))
        if run:
            _prepared(config.out, config.size, config.layout or "cuhk")
    elif command[0] == "train":
        train = load_train_config(path)
        assert isinstance(open_run(train), ReadyRun)
        if run:
            _trained(train)
    elif command[0] == "tune":
        assert isinstance(open_sweep(load_tune_config(path, {}, [])), ReadySweep)
        grid = load_tune_config(path, {"grid": "paper-gamma", "name": "gamma"}, [])
        assert isinstance(open_gamma_grid(grid), ReadyGrid)
    elif command[0] == "evaluate":
        bench = build(EvaluateConfig, layered(path, {"model": command[1], "out": "report"}, []), where=str(path))
        made = [one.prepared for one in bench.sets.values() if one.prepared]
        assert made and all(Path(folder).is_dir() for folder in made)
    else:
        assert isinstance(open_ablation(load_ablate_config(path, {}, [])), ReadyGrid)


@pytest.mark.parametrize("path", CONFIGS)
def test_a_configuration_runs_as_written_after_the_readme(path: str) -> None:
    *before, itself = _commands(path)
    assert _file(itself) == path
    for command in before:
        _checked(command, run=True)
    _checked(itself, run=False)


@pytest.mark.parametrize("path", CONFIGS)
def test_a_configuration_names_no_files_outside_the_clone(path: str) -> None:
    assert ".." not in (ROOT / path).read_text()


def test_a_configuration_that_lacks_what_comes_first_is_found_out() -> None:
    with pytest.raises(Exception, match=r"runs/lite-data/cuhk448"):
        _checked(["train", "--config", "jobs/configs/lite/train.yaml"], run=False)
