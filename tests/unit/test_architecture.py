"""The house's rules of ARCHITECTURE.md, held by reading the import statements."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dbd_ray

PACKAGE = Path(dbd_ray.__file__).parent
ROOT = PACKAGE.parent


def _load_house() -> ModuleType:
    """Load tools/house.py, which knows the layers and reads the imports."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOUSE = _load_house()

RAY_USERS = {
    *("datasets.prepare", "datasets.write_prepared"),
    *("library.pipeline", "ray_data"),
    *("teaching.setup", "teaching.pipeline", "teaching.depth_predictor", "teaching.sources", "teaching.join"),
    *("training.worker", "training.reporting", "training.trainer"),
    *("training.cached_rows", "training.streaming"),
}
RAY_ROOMS = {"cli", "serving", "tuning"}
PURE = (
    *("errors", "config", "images.decode", "images.encode", "images.refine", "images.overlay"),
    *("datasets.layouts", "datasets.labelled", "datasets.prepared", "datasets.scenes"),
    *("names", "storage", "hardware", "models", "metrics", "engines", "checkpoints", "teachers"),
    *("detection.detector", "detection.files", "detection.find_photos", "detection.predictor"),
    *(
        "training",
        "training.augment",
        "training.samples",
        "training.optimizer",
        "training.loop",
        "training.losses",
        "training.state",
    ),
    *("training.learner", "training.ledger", "training.ranks", "training.ingest"),
    *("training.local_paths", "training.detector_teachers", "training.start", "training.run_detectors"),
)
# what may be missing on a machine that only trains and measures
OPTIONAL_THERE = {
    "ray",
    "mlflow",
    "fastapi",
    "typer",
    "rich",
    "optuna",
    "transformers",
    "ai_edge_litert",
    "onnx",
    "openvino",
}


MODULES = HOUSE.find_modules(PACKAGE)


def _imports(path: Path, *, at_top: bool) -> set[str]:
    """Full names that a file imports; at the top level only, or anywhere."""
    names: set[str] = HOUSE.read_imports(path, MODULES, at_top=at_top)
    return names


def _inside(imports: set[str]) -> set[str]:
    """Modules of ours among full names."""
    names: set[str] = HOUSE.inside(imports, MODULES)
    return names


def _libraries(imports: set[str]) -> set[str]:
    return {name.split(".")[0] for name in imports}


def _layer(module: str) -> int:
    return next(number for number, rooms in enumerate(HOUSE.LAYERS) if HOUSE.room_of(module) in rooms)


def _reachable(module: str) -> set[str]:
    """Modules of ours that importing one brings along, their packages included."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        parents = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
        waiting |= (_inside(_imports(MODULES[name], at_top=True)) | parents) - found
    return found


def test_every_module_has_its_place() -> None:
    rooms = {HOUSE.room_of(name) for name in MODULES} - {""}
    assert rooms == frozenset.union(*HOUSE.LAYERS), "LAYERS says where each room stands, and names no other"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {""}))
def test_imports_run_one_way(module: str) -> None:
    for imported in _inside(_imports(MODULES[module], at_top=False)):
        assert _layer(imported) <= _layer(module), f"{module} imports {imported}, which stands below it in LAYERS"


def test_no_modules_import_each_other() -> None:
    # those inside functions count, too: a circle is one whenever it is closed
    plan = HOUSE.read_plan(PACKAGE)
    assert (plan.module_circles, plan.room_circles) == ((), ())


def test_errors_import_only_what_masks_them_and_settings_only_them() -> None:
    assert _inside(_imports(MODULES["masking"], at_top=False)) == set()
    assert _inside(_imports(MODULES["errors"], at_top=False)) == {"masking"}
    for module in MODULES:
        if module.split(".")[0] == "config":
            rooms = {name.split(".")[0] for name in _inside(_imports(MODULES[module], at_top=False))}
            assert rooms <= {"config", "errors", "names"}


def test_ray_is_imported_by_the_pipelines_alone() -> None:
    users = {name for name, path in MODULES.items() if "ray" in _libraries(_imports(path, at_top=False))}
    assert {name for name in users if name.split(".")[0] not in RAY_ROOMS} <= RAY_USERS
    assert {"datasets.prepare", "training.worker", "training.trainer"} <= users, "this test reads the wrong files"


def test_mlflow_is_imported_by_tracking_and_registration_alone() -> None:
    users = {name for name, path in MODULES.items() if "mlflow" in _libraries(_imports(path, at_top=False))}
    assert users == {"tracking.runs", "tracking.registry", "tracking.store", "registration"}


@pytest.mark.parametrize("module", PURE)
def test_the_core_can_be_imported_where_only_torch_is(module: str) -> None:
    for name in _reachable(module):
        assert not _libraries(_imports(MODULES[name], at_top=True)) & OPTIONAL_THERE, f"{module} brings {name}"


def test_nothing_of_the_package_imports_the_jobs() -> None:
    for module, path in MODULES.items():
        assert not _libraries(_imports(path, at_top=False)) & {"jobs", "serve", "tests", "benchmarks", "tools"}, module


@pytest.mark.parametrize("folder", ["jobs", "serve", "benchmarks", "tools"])
def test_scripts_around_the_package_do_not_import_each_other(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert not _libraries(_imports(path, at_top=False)) & {"jobs", "serve", "benchmarks", "tools", "tests"}, path


def _loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("statement", ["import dbd_ray", "import dbd_ray.cli", "import dbd_ray.config"])
def test_importing_the_package_and_its_command_line_waits_for_nothing_heavy(statement: str) -> None:
    loaded = _loaded_by(statement)
    assert "dbd_ray" in loaded
    assert not loaded & {"numpy", "torch", "ray", "mlflow", "cv2", "timm", "pyarrow", "matplotlib"}


def test_a_gateway_starts_without_torch() -> None:
    loaded = _loaded_by("import dbd_ray.serving.gateway")
    assert "fastapi" in loaded
    assert not loaded & {"torch", "timm", "mlflow"}


def test_what_the_package_offers_is_there() -> None:
    for name in dbd_ray.__all__:
        assert getattr(dbd_ray, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        dbd_ray.Detektor  # noqa: B018
