"""What the command line promises: stable names, help without waiting, one clear line for every mistake."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer.main
from mlflow import MlflowClient

import dbd_ray
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.cli import app, main
from dbd_ray.config import TrainConfig
from dbd_ray.evaluation.report_folder import REPORT_FILES
from dbd_ray.metrics import METRIC_NAMES

# Scripts of other people are written against these: adding is fine, taking away or renaming breaks them.
FROZEN = {
    "prepare": (
        "root --out --layout --polarity --size --validation --scenes --photos --seed --config --set"  # one per setting
    ),
    "teach": (
        "teacher --data --photos --out --pictures --actors --batch-size --gpus-per-actor --precision --retry-errors "
        "--config --set"
    ),
    "train": "--config --set",
    "tune": "--grid --trials --config --set",
    "ablate": "--config --set",
    "evaluate": (
        "model --root --layout --polarity --prepared --split --refine --out --device --against --promote --config --set"
    ),
    "predict": (
        "photos --out --model --save --refine --tile --polarity --threshold --margin --layout --orientation "
        "--batch-size --max-pixels --force --recursive --device --engine"
    ),
    "annotate": (
        "source out --save --long-side --masks --margin --sidecar-dir --pairs --model --endpoint --actors "
        "--gpus-per-actor --force --retry-errors --dry-run --config --set"
    ),
    "query": "out condition --columns --sort --limit --format --print0",
    "cull": "out --seconds --distance --keep --without-time --format --print0",
    "serve": "--model --host --port --keys-file --haproxy --config --set",
    "export": "format --out --model",
    "import": "file --architecture --out",
    "models": "",
    "doctor": "",
}


@pytest.fixture
def labelled(cuhk: Path, tmp_path: Path) -> Path:
    """A folder dataset of four real test photos and one to train on."""
    folder = tmp_path / "labelled"
    chosen = sorted((cuhk / "image").iterdir())[:5]
    for name in ("image", "mask"):
        (folder / name).mkdir(parents=True)
    for source in chosen:
        shutil.copy(source, folder / "image")
        shutil.copy(cuhk / "gt" / f"{source.stem}.png", folder / "mask")
    (folder / "test.txt").write_text("\n".join(source.name for source in chosen[:4]))
    return folder


@pytest.fixture(autouse=True)
def _own_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")
    monkeypatch.chdir(tmp_path)
    yield


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from dbd_ray.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def _names(command: typer.main.TyperCommand) -> list[str]:
    return [
        max(parameter.opts, key=len) if parameter.param_type_name == "option" else str(parameter.name)
        for parameter in command.params
        if parameter.name != "help"
    ]


def test_commands_and_options_keep_their_names() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {name: _names(command) for name, command in commands.items()} == {
        name: names.split() for name, names in FROZEN.items()
    }


HELP = """
import sys
from dbd_ray.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    assert not stopped.code, stopped.code
heavy = {"torch", "ray", "mlflow", "cv2", "matplotlib", "timm", "pyarrow"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_help_of_every_command_waits_for_no_heavy_library() -> None:
    for command in ("", *FROZEN):
        arguments = [*command.split(), "--help"]
        done = subprocess.run([sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Usage: dbd-ray" in done.stdout
        assert all(option in done.stdout for option in FROZEN.get(command, "").split() if option.startswith("--"))


@pytest.mark.parametrize("width", ["80", "160"])
def test_help_of_train_names_every_setting_and_its_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert _run("train", "--help") == 0
    text = capsys.readouterr().out
    assert "optimizer.lr = 0.005 (paper), 0.001 (modern)" in text
    assert "name = (required)" in text
    assert "--set 'data=[runs/cuhk]'" in text  # brackets are markup to the help's formatter

    def below(kind: type, prefix: str = "") -> Iterator[str]:
        for name, field in kind.model_fields.items():  # type: ignore[attr-defined]
            nested = hasattr(field.annotation, "model_fields")
            yield from below(field.annotation, f"{prefix}{name}.") if nested else [prefix + name]

    assert [name for name in below(TrainConfig) if not re.search(rf"^ *{re.escape(name)} = ", text, re.M)] == []


def test_help_of_other_commands_names_the_settings_without_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    for command, setting in (("prepare", "test_fraction = null"), ("evaluate", "batch_size = 8")):
        _run(command, "--help")
        assert setting in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "error: no settings:\n  name: Field required"),
        (["train", "--set", "optimizer.learning_rate=1"], "optimizer.learning_rate: Extra inputs are not permitted"),
        (["train", "--set", "epochs"], "error: --set epochs: write it as name=value"),
        (["train", "--config", "absent.yaml"], "error: absent.yaml: cannot be read (No such file or directory)"),
        (["train", "--config", "bad.yaml"], "error: bad.yaml: not valid YAML"),
        (["tune"], "error: tune, train:\n  data: Field required"),
        (["tune", "--grid", "all", "--set", "train.data=[d]"], "grid: Input should be 'paper-gamma'"),
        (["ablate", "--set", "train.data=[d]"], "error: ablate:\n  name: Field required"),
        (["evaluate"], "error: evaluate:\n  model: Field required\n  out: Field required"),
        (["evaluate", "m", "--out", "o", "--root", "r", "--split", "all"], "split: Input should be 'train', 'val' or"),
        (["prepare", "--out", "o"], "give either root (labelled photos) or scenes"),
        (["prepare", "r", "--out", "o", "--seed", "3"], "seed has no effect with root"),
        (["predict"], "Missing argument"),
        (["predict", "a.jpg", "--out", "o", "--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["predict", "a.jpg", "--out", "o", "--max-pixels", "0"], "Invalid value for '--max-pixels'"),
        (["detect"], "No such command 'detect'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_end_in_words_and_status_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.yaml").write_text("name: [")
    assert _run(*arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_mistakes_with_photos_and_models_end_in_words_and_status_two(
    photos: Path, model: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts: list[tuple[list[str | Path], str]] = [
        (["predict", "a.jpg", "b.jpg", "--out", "o"], "error: no such file or folder: a.jpg, b.jpg"),
        (["predict", photos, "--out", "o", "--model", "best"], "error: best: neither a checkpoint folder nor a model"),
        (["predict", photos, "--out", "o", "--refine", "sharp"], "error: refine: 'sharp' is unknown, choose one of g"),
        (["predict", photos, "--out", "o", "--polarity", "x"], "error: polarity: 'x' is unknown, choose one of focus"),
        (["predict", photos, "--out", "o", "--model", model, "--save", "map"], "error: save: map cannot be saved"),
        (["predict", photos, "--out", "o", "--model", model, "--device", "tpu"], "error: device=tpu"),
        (["evaluate", model, "--root", "absent", "--out", "o"], "error: absent: "),
        (["evaluate", model, "--root", labelled, "--layout", "folder", "--out", "o"], "error: polarity: say what"),
        (["evaluate", model, "--prepared", "absent", "--out", "o"], "dataset.json is missing"),
        (["import", "a.pth", "--architecture", "vgg19", "--out", "o"], "error: architecture: 'vgg19' is unknown"),
        (["import", "a.pth", "--architecture", "vgg16", "--out", "o"], "a.pth: no such file"),
    ]
    for arguments, message in attempts:
        assert _run(*arguments) == 2, arguments
        said = capsys.readouterr()
        assert message in said.err
        assert said.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "absent.jpg", "--out", "o"],
        ["train", "--set", "recipe=best"],
        ["evaluate", "best", "--out", "o", "--prepared", "absent"],
    ],
    ids=lambda value: value[0],
)
def test_a_mistake_shows_no_traceback(arguments: list[str]) -> None:
    done = _process(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_cluster_that_does_not_answer_is_named_at_once(
    labelled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:no"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert _run("prepare", labelled, "--layout", "folder", "--polarity", "blur", "--out", "data") == 2
        assert f"error: RAY_ADDRESS={address}: no Ray answers there" in capsys.readouterr().err


def test_evaluate_writes_the_report_and_logs_it(
    labelled: Path, model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("evaluate.yaml").write_text(f"model: {model}\nroot: {labelled}\nlayout: folder\npolarity: focus\n")
    options = ["--config", "evaluate.yaml", "--polarity", "blur", "--out", "report", "--set", "storage=tracked"]
    Path("report").mkdir()
    Path("report", "huge.bin").write_text("nothing of the report's")
    assert _run("evaluate", *options) == 0
    said = capsys.readouterr()
    written = json.loads(Path("report", "metrics.json").read_text())
    assert written["images"] == 4
    assert written["settings"]["evaluation"]["polarity"] == "blur"
    assert dict(line.split("\t") for line in said.out.splitlines()[1:]) == {
        name: f"{value:.4f}" for name, value in written["metrics"].items()
    }
    assert written["metrics"].keys() == set(METRIC_NAMES)
    assert "report: report/report.html" in said.err
    assert f"--backend-store-uri sqlite:///{tmp_path}/tracked/mlflow.db" in said.err

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/tracked/mlflow.db")
    run_id = str(re.search(r"MLflow run (\w+)", said.err)[1])  # type: ignore[index]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {f"test/{name}": pytest.approx(value) for name, value in written["metrics"].items()}
    assert run.data.tags["model.fingerprint"] == load_checkpoint(model)[1].fingerprint
    logged = {Path(item.path).name for item in client.list_artifacts(run_id, "report")}
    assert logged == set(REPORT_FILES.values())
    assert len(client.list_artifacts(run_id, "report/worst")) == 4


def test_evaluate_on_several_sets_shows_one_table_and_where_the_reports_are(
    labelled: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = f"{{root: {labelled}, layout: folder, polarity: blur}}"
    sets = ["--set", f"sets.first={one}", "--set", f"sets.second={one}"]
    assert _run("evaluate", model, "--out", "bench", *sets) == 0
    said = capsys.readouterr()
    head, *rows = [line.split("\t") for line in said.out.splitlines()]
    assert head[:4] == ["set", "photos", "F", "MAE"]
    assert [row[:2] for row in rows] == [["first", "4"], ["second", "4"]]
    assert rows[0][2:] == rows[1][2:]
    for line in ("table: bench/bench.md", "report of first: bench/first/report.html", "MLflow run "):
        assert line in said.err
    assert _run("evaluate", model, "--out", "bench", *sets, "--root", labelled) == 2
    assert "root has no effect with sets" in capsys.readouterr().err


def test_a_wrong_tracking_address_is_noticed_before_measuring(
    labelled: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    options = ["--layout", "folder", "--polarity", "blur", "--out", "report"]
    assert _run("evaluate", model, "--root", labelled, *options) == 2
    assert "error: MLFLOW_TRACKING_URI=file:///tmp/mlruns" in capsys.readouterr().err
    assert not Path("report").exists()


def test_the_version_is_told_without_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"dbd-ray {dbd_ray.__version__}\n"), done.stderr


def test_models_lists_what_comes_with_the_package_and_what_can_be_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("models") == 0
    said = capsys.readouterr()
    assert [line.split("\t")[0] for line in said.out.splitlines()[1:]] == list(packaged_models())
    assert "architectures to train: dbdgan_student, dbdgan_teacher, depth_distillation" in said.err


def test_a_released_file_is_imported_into_a_checkpoint(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = json.loads((reference / "state_dict_depth_distillation_vgg16.json").read_text())
    released = {
        name: torch.zeros(shape, dtype=torch.long if name.endswith("num_batches_tracked") else torch.float32)
        for name, shape in shapes.items()
    }
    torch.save(released, tmp_path / "released.pth")
    assert _run("import", "released.pth", "--architecture", "vgg16", "--out", "ours") == 0
    assert capsys.readouterr().out == "ours: depth-distillation-vgg16, 19.4 M parameters\n"
    assert load_checkpoint("ours")[1].network.backbone == "vgg16"
