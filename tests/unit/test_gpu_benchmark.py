"""benchmarks/gpu.py runs where only torch and its like are installed, and one bad cell harms only itself."""

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
# what the command may need; each brings its own requirements along
NEEDED = ("torch", "torchvision", "timm", "numpy", "opencv-contrib-python-headless", "pillow", "pyarrow")
ALSO_NEEDED = ("safetensors", "pydantic")
WITHOUT = """
import runpy, sys
blocked, folder, *sys.argv[1:] = sys.argv[1:]
sys.modules.update(dict.fromkeys(blocked.split(",")))
sys.path.insert(0, folder)
runpy.run_path(folder + "/gpu.py", run_name="__main__")
"""


def _brought_along(names: tuple[str, ...]) -> set[str]:
    """Distributions that these need, themselves included."""
    found: set[tuple[str, str]] = set()
    waiting = {(canonicalize_name(name), "") for name in names}
    while waiting:
        name, extra = waiting.pop()
        found.add((name, extra))
        try:
            wanted = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # of another platform
            continue
        for one in wanted:
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting |= {(canonicalize_name(one.name), part) for part in ("", *one.extras)} - found
    return {name for name, _ in found}


def _gpu(*arguments: str, blocked: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, ",".join(sorted(blocked)), str(BENCHMARKS), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run at tiny sizes writes, with everything blocked that the needed packages do not bring; and its table."""
    allowed = _brought_along(NEEDED + ALSO_NEEDED)
    places = packages_distributions().items()
    blocked = {name for name, owners in places if not {canonicalize_name(owner) for owner in owners} & allowed}
    blocked -= {"dbd_ray"}
    assert {"ray", "mlflow", "typer", "rich", "fastapi", "scipy", "matplotlib", "pytest"} <= blocked
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    done = _gpu("--device", "cpu", "--quick", "--minutes", "30", "--out", str(out), blocked=blocked)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(out.read_text())
    return {**content, "printed": done.stdout}


def test_it_needs_neither_ray_nor_mlflow_nor_anything_else_of_the_cluster(report: dict[str, Any]) -> None:
    status = {(row["part"], row["network"], row["how"]): row["status"] for row in report["rows"]}
    for part, how in (("parity", "fused"), ("training", "float32"), ("inference", "fused"), ("inference", "eager")):
        found = [value for key, value in status.items() if key[0] == part and key[2].startswith(how)]
        assert found == ["ok", "ok"], f"{part} {how}: of lite and of the other network"
    assert status["golden", "lite", "float32"] == status["golden", "lite", "float32, TF32"] == "ok"


def test_what_cannot_be_measured_is_said_with_its_reason(report: dict[str, Any]) -> None:
    notes = {(row["part"], row["how"]): row["note"] for row in report["rows"] if row["status"] == "skipped"}
    assert notes["tests", "pytest -m gpu"] == "pytest is not installed"
    assert notes["golden", "float32"] == "no --reference"
    assert notes["training", "bfloat16"].startswith("precision=bfloat16: on CPUs")


def test_it_prints_one_table_and_says_what_it_was_measured_on(report: dict[str, Any]) -> None:
    head, *lines = report["printed"].splitlines()
    assert head.split("  ")[0] == "part"
    assert "images/s" in head
    assert len(lines) == len(report["rows"])
    assert report["torch"] == torch.__version__
    assert report["tf32"].keys() == {"convolutions", "matrix_products"}
    assert {"device", "driver", "cuda", "commit", "quick"} <= report.keys()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_what_to_try() -> None:
    done = _gpu(blocked=set())
    assert done.returncode == 2
    assert "no GPU to measure: device=cuda: torch sees 0 GPU(s) here" in done.stderr
    assert "--device cpu --quick" in done.stderr


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("gpu_benchmark", BENCHMARKS / "gpu.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(gpu: ModuleType) -> Any:
    return gpu.Bench(torch.device("cpu"), torch.zeros(1, 3, 64, 64, dtype=torch.uint8), (), seconds=0.01, quick=True)


def _raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def test_a_cell_that_fails_or_needs_too_much_memory_harms_only_itself(gpu: ModuleType, bench: Any) -> None:
    runs = {
        "out of memory": _raising(torch.OutOfMemoryError("of 139 GiB")),
        "failed": _raising(RuntimeError("cuDNN is unhappy\nat length")),
        "skipped": _raising(gpu.Skipped("no Triton")),
        "differs": lambda: gpu.Measured(difference=0.2, allowed=0.1),
        "ok": lambda: gpu.Measured(images_per_s=3.0),
    }
    cells = [gpu.Cell("part", "lite", status, 8, run) for status, run in runs.items()]
    cells.append(gpu.Cell("part", "lite", "differs", 8, lambda: gpu.Measured(difference=float("nan"), allowed=0.1)))
    rows = gpu.measure(cells, bench, time.monotonic() + 600)
    assert [row["status"] for row in rows] == [cell.how for cell in cells]
    assert rows[1]["note"] == "RuntimeError: cuDNN is unhappy"
    assert rows[2]["note"] == "no Triton"


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (zipfile.BadZipFile("File is not a zip file"), "BadZipFile: File is not a zip file"),
        (EOFError("No data left in file"), "EOFError: No data left in file"),
        (KeyError("input"), "KeyError: 'input'"),
        (ImportError("no libcuda"), "ImportError: no libcuda"),
        (AssertionError(), "AssertionError"),
        (TypeError("no tensor"), "TypeError: no tensor"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_error_ends_a_cell_the_next_one_is_measured(
    gpu: ModuleType, bench: Any, error: Exception, note: str
) -> None:
    cells = [gpu.Cell("part", "lite", "bad", 8, _raising(error)), gpu.Cell("part", "lite", "good", 8, gpu.Measured)]
    bad, good = gpu.measure(cells, bench, time.monotonic() + 600)
    assert (bad["status"], bad["note"], good["status"]) == ("failed", note, "ok")


def test_after_an_error_that_stays_the_device_is_said_to_be_lost(
    gpu: ModuleType, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[str] = []

    def call(*_: object) -> float:
        if broken:
            raise RuntimeError(f"{broken[0]}\nCUDA kernel errors might be reported later")
        return 0.0

    for name in ("reset_peak_memory_stats", "synchronize", "empty_cache", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, call)

    def breaking() -> Any:
        broken.append("CUDA error: an illegal memory access was encountered")
        return gpu.Measured()  # the kernel's error comes later

    runs = {"good": gpu.Measured, "breaks": breaking, "later": gpu.Measured, "last": gpu.Measured}
    cells = [gpu.Cell("part", "lite", how, 8, run) for how, run in runs.items()]
    rows = gpu.measure(cells, bench._replace(device=torch.device("cuda")), time.monotonic() + 600)
    assert [row["status"] for row in rows] == ["ok", "failed", "skipped", "skipped"]
    said = "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert [row["note"] for row in rows[1:]] == [said, *[f"the device is lost: {said}"] * 2]


def test_a_run_with_a_bad_cell_is_written_without_nan(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "gpu.json"
    cells = [
        gpu.Cell("golden", "lite", "cut", 1, _raising(zipfile.BadZipFile("cut"))),
        gpu.Cell("parity", "lite", "fused", 1, lambda: gpu.Measured(difference=float("nan"), allowed=0.1)),
    ]
    monkeypatch.setattr(gpu, "plan", lambda *_: iter(cells))
    monkeypatch.setattr(gpu.torch, "set_num_threads", lambda _: None)  # it would stay for the other tests
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--out", str(out)])
    assert gpu.main() == 1
    assert "BadZipFile: cut" in capsys.readouterr().out
    content = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    failed, differs = content["rows"]
    assert failed["status"] == "failed"
    assert (differs["status"], differs["difference"], differs["allowed"]) == ("differs", None, 0.1)


@pytest.mark.parametrize(
    ("option", "value", "lowest"),
    [("--size", "0", 16), ("--size", "many", 16), ("--batches", "0", 1), ("--batches", "-3", 1)],
)
def test_sizes_that_are_none_are_refused(
    gpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    lowest: int,
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", option, value])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 2
    said = f"error: argument {option}: must be a whole number of at least {lowest}, not {value}"
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


def test_what_is_stopped_by_its_time_limit_leaves_no_process_behind(gpu: ModuleType, tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    alive = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # read to its end once all are gone who hold it
    try:
        with pytest.raises(gpu.Skipped, match="not done within 2 s"):
            sys.modules["gpu_processes"]._run(
                ["sh", "-c", 'exec 3>"$0"; echo started >&3; sleep 60 & wait', str(fifo)], 2
            )
        assert os.read(alive, 100) == b"started\n"
        assert select.select([alive], [], [], 10)[0], "the command's own child still runs"
        assert os.read(alive, 100) == b""
    finally:
        os.close(alive)


def test_what_the_time_does_not_suffice_for_is_skipped(gpu: ModuleType, bench: Any) -> None:
    slow = [gpu.Cell("inference", "lite", "eager", batch, lambda: gpu.Measured(images_per_s=2.0)) for batch in (1, 64)]
    first, second = gpu.measure(slow, bench, time.monotonic() + 60)
    assert (first["status"], second["status"]) == ("ok", "skipped")
    assert second["note"].startswith("needs about 130 s, and ")  # 4 passes of 64 at 2 images/s, and 2 s


def test_a_compilation_that_takes_too_long_is_given_up(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--compile-s", "0.1"])
    with pytest.raises(gpu.Skipped, match="not done within 0 s"):
        gpu.compile_apart("lite", gpu._options(), time.monotonic() + 60)


def test_the_compiled_engine_is_measured_in_a_process_of_its_own(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # compiling takes minutes, and is torch's business
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--compile-s", "300"])
    found = gpu.compile_apart("lite", gpu._options(), time.monotonic() + 300)
    assert found.images_per_s > 0
    assert found.difference <= found.allowed


def test_the_authors_outputs_are_those_of_the_reference(gpu: ModuleType, bench: Any, reference: Path) -> None:
    found = gpu.golden_reference(bench, reference, "vgg16")
    assert found.difference <= 1e-4
    assert found.allowed == 1e-3
