"""The door of training: a finished model, or a run that is ready, whose detectors were loaded once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dbd_ray.checkpoints.files import CARD, load_checkpoint
from dbd_ray.cli import main
from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.training import detector_teachers
from dbd_ray.training.open_run import ReadyRun, check_run, open_run
from dbd_ray.training.run_folder import MODEL_FILES, TrainedModel, claim_name, write_result

MakeConfig = Callable[..., TrainConfig]
NOBODY = "http://127.0.0.1:9"
LITE = {"architecture": "lite", "backbone": "mobilenetv3_small_050", "width": 16, "depth": False}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """The current folder, with a prepared dataset `data` and a detector `teacher`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    counts = {"rows": {"train": 8, "val": 2}, "sources": {"cuhk": 10}, "depth_rows": 0, "image_bytes": 1}
    info = PreparedInfo(parts="parts-1", input_size=(64, 64), fingerprint="abc", **counts)
    write_info(str(tmp_path / "data"), info)
    shutil.copytree(tiny_model, tmp_path / "teacher")
    return tmp_path


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that detectors were loaded from."""
    names = []

    def counted(folder: Path) -> Any:
        names.append(Path(folder).name)
        return load_checkpoint(folder)

    monkeypatch.setattr(detector_teachers, "load_checkpoint", counted)
    return names


@pytest.fixture
def make_run(make_config: MakeConfig) -> MakeConfig:
    def make(*teachers: str, **settings: Any) -> TrainConfig:
        taught = {"teacher_checkpoints": teachers, "teacher_weight": 1} if teachers else {}
        defaults = {"data": ["data"], "network": LITE, "objective": {"depth_weight": 0, **taught}}
        return make_config(**{**defaults, **settings})

    return make


def _beginning(model: Path) -> dict[str, Any]:
    return {"network": load_checkpoint(model)[1].network, "start_from": model.name}


def test_a_run_that_is_ready_has_absolute_paths_and_a_key_of_its_own(make_run: MakeConfig, folder: Path) -> None:
    run = open_run(make_run("teacher", "models:/m@champion"))
    assert isinstance(run, ReadyRun)
    assert (run.config.data, run.config.storage) == ((f"{folder}/data",), f"{folder}/runs")
    assert run.config.objective.teacher_checkpoints == (f"{folder}/teacher", "models:/m@champion")
    other = open_run(make_run("teacher", "models:/m@champion"))
    assert isinstance(other, ReadyRun)
    assert run.key != other.key
    assert not (folder / "runs").exists(), "nothing is written before the run starts"


def test_a_detector_teacher_is_loaded_once_and_not_kept_by_the_run(
    make_run: MakeConfig, folder: Path, loads: list[str]
) -> None:
    run = open_run(make_run("teacher"))
    assert isinstance(run, ReadyRun)
    shutil.rmtree("teacher")  # it is not needed any more
    (teacher,), start = run.detectors.take(NOBODY)
    assert loads == ["teacher"]
    assert (teacher.name.split("@")[0], start) == ("tiny", None)
    with pytest.raises(ConfigError, match=r"^objective\.teacher_checkpoints: .*/teacher: neither"):
        run.detectors.take(NOBODY)


def test_the_detector_to_begin_with_is_loaded_once(make_run: MakeConfig, folder: Path, loads: list[str]) -> None:
    run = open_run(make_run(**_beginning(folder / "teacher")))
    assert isinstance(run, ReadyRun)
    teachers, start = run.detectors.take(NOBODY)
    assert loads == ["teacher"]
    assert teachers == ()
    assert start is not None
    assert start.name.startswith("tiny@")


def test_a_run_that_goes_on_does_not_look_for_what_it_began_with(
    make_run: MakeConfig, folder: Path, loads: list[str]
) -> None:
    config = make_run(**_beginning(folder / "teacher"))
    (folder / "runs" / "tiny" / "checkpoint_1").mkdir(parents=True)
    (folder / "runs" / "tiny" / "checkpoint_1" / CARD).touch()
    shutil.rmtree("teacher")
    assert check_run(config).detectors.take(NOBODY) == ((), None)
    assert loads == []


def test_a_detector_that_is_not_there_is_named_with_its_field_as_are_paths_as_they_were_written(
    make_run: MakeConfig, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"^objective\.teacher_checkpoints: {folder}/absent: neither a checkpoint"):
        open_run(make_run("teacher", "absent"))
    beginning = {**_beginning(folder / "teacher"), "start_from": "absent"}
    with pytest.raises(ConfigError, match=rf"^start_from: {folder}/absent: neither a checkpoint folder"):
        open_run(make_run(**beginning))
    with pytest.raises(ConfigError, match=r"^start_from: .*/teacher is another network; set network\."):
        open_run(make_run(start_from="teacher"))
    with pytest.raises(ConfigError, match=r"^network\.backbone_weights: absent\.safetensors is no local file"):
        open_run(make_run(network={**LITE, "backbone_weights": "absent.safetensors"}))


def test_a_registry_is_not_asked_before_the_run_starts(
    make_run: MakeConfig, monkeypatch: pytest.MonkeyPatch, loads: list[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = open_run(make_run("models:/absent@champion", "teacher"))
    assert isinstance(run, ReadyRun)
    assert loads == ["teacher"]
    with pytest.raises(
        ConfigError, match=r"^objective\.teacher_checkpoints: http://127\.0\.0\.1:9: MLflow cannot be used there"
    ):
        run.detectors.take(NOBODY)


def test_a_finished_run_is_its_model_and_other_settings_under_its_name_are_refused(
    make_run: MakeConfig, folder: Path, tiny_model: Path, loads: list[str]
) -> None:
    config = make_run("teacher")
    ready = open_run(config)
    assert isinstance(ready, ReadyRun)
    claim_name(ready.config, ready.key)
    interrupted = open_run(config)
    assert isinstance(interrupted, ReadyRun)
    assert interrupted.key == ready.key
    model = folder / "runs" / "tiny" / "model"
    model.mkdir()
    for name in MODEL_FILES:
        shutil.copy(tiny_model / name, model)
    trained = TrainedModel(str(model), {"epoch": 2}, [{"epoch": 1}, {"epoch": 2}], "id", "sqlite:///mlflow.db")
    write_result(ready.config, trained)
    loads.clear()
    assert open_run(config) == trained
    assert loads == []
    with pytest.raises(ConfigError, match=r"run tiny exists in .*epochs: 2 → 3"):
        open_run(make_run("teacher", epochs=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("objective.teacher_checkpoints=[absent]", "objective.teacher_weight=1"), "objective.teacher_checkpoints: "),
        (("start_from=absent",), "start_from: "),
    ],
)
def test_ray_does_not_start_for_a_run_whose_detectors_are_missing(
    settings: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(**options: Any) -> NoReturn:
        pytest.fail("Ray was started first")

    monkeypatch.setattr("dbd_ray.cli.training.local_or_cluster", start)
    plain = ("name=s", "data=[data]", "network.depth=false", "objective.depth_weight=0")
    with pytest.raises(SystemExit) as stopped:
        main(["train", *(part for setting in (*plain, *settings) for part in ("--set", setting))])
    assert stopped.value.code != 0
    assert message in (said := capsys.readouterr().err)
    assert "neither a checkpoint folder" in said
