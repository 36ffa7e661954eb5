"""The house's rules of DESIGN.md, held by reading the import statements."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dbd_ray

PACKAGE = Path(dbd_ray.__file__).parent
ROOT = PACKAGE.parent

# each may import what stands beside or above it, never what stands below
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "names", "summary", "config", "storage", "hardware", "images"}),
    frozenset({"datasets", "models", "metrics"}),
    frozenset({"engines", "checkpoints", "tracking", "teachers"}),
    frozenset({"detection"}),
    frozenset({"pyfunc", "registration", "training", "teaching", "evaluation", "serving", "client"}),
    frozenset({"tuning"}),  # many training runs
    frozenset({"cli"}),
)

RAY_USERS = {
    *("datasets.prepare", "datasets.write_prepared"),
    *("teaching.setup", "teaching.pipeline", "teaching.depth_predictor", "teaching.sources", "teaching.join"),
    *("training.worker", "training.reporting", "training.trainer"),
    *("training.cached_rows", "training.streaming", "training.failures"),
}
RAY_ROOMS = {"cli", "serving", "tuning"}
PURE = (
    *("errors", "config", "images.decode", "images.encode", "images.refine", "images.overlay"),
    *("datasets.layouts", "datasets.labelled", "datasets.prepared", "datasets.scenes"),
    *("names", "storage", "hardware", "models", "metrics", "engines", "checkpoints", "teachers"),
    *("detection.detector", "detection.files", "detection.predictor"),
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
    "training.local_paths",
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


def _modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = _modules()


def _imports(path: Path, *, at_top: bool) -> set[str]:
    """Full names that a file imports; at the top level only, or anywhere."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in _top_level(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.removeprefix("dbd_ray.") in MODULES}
            found |= modules | ({str(node.module)} if names - modules else set())
    return found


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _top_level(child)


def _inside(imports: set[str]) -> set[str]:
    """Modules of ours among full names."""
    names = {name.removeprefix("dbd_ray.") for name in imports if name.startswith("dbd_ray.")}
    return names & MODULES.keys()


def _libraries(imports: set[str]) -> set[str]:
    return {name.split(".")[0] for name in imports}


def _layer(module: str) -> int:
    room = module.split(".")[0]
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


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
    rooms = {name.split(".")[0] for name in MODULES} - {""}
    assert rooms == frozenset.union(*LAYERS), "LAYERS says where each room stands, and names no other"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {""}))
def test_imports_run_one_way(module: str) -> None:
    for imported in _inside(_imports(MODULES[module], at_top=False)):
        assert _layer(imported) <= _layer(module), f"{module} imports {imported}, which stands above it"


def test_no_modules_import_each_other() -> None:
    # those inside functions count, too: a circle is one whenever it is closed
    graph = {name: _inside(_imports(path, at_top=False)) - {name} for name, path in MODULES.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' ← '.join(error.args[1])}")


def test_errors_import_nothing_of_ours_and_settings_only_them() -> None:
    assert _inside(_imports(MODULES["errors"], at_top=False)) == set()
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
    assert users == {"tracking.runs", "tracking.registry", "registration"}


@pytest.mark.parametrize("module", PURE)
def test_the_core_can_be_imported_where_only_torch_is(module: str) -> None:
    for name in _reachable(module):
        assert not _libraries(_imports(MODULES[name], at_top=True)) & OPTIONAL_THERE, f"{module} brings {name}"


def test_nothing_of_the_package_imports_the_jobs() -> None:
    for module, path in MODULES.items():
        assert not _libraries(_imports(path, at_top=False)) & {"jobs", "serve", "tests", "benchmarks"}, module


@pytest.mark.parametrize("folder", ["jobs", "serve", "benchmarks"])
def test_scripts_around_the_package_do_not_import_each_other(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert not _libraries(_imports(path, at_top=False)) & {"jobs", "serve", "benchmarks", "tests"}, path


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
