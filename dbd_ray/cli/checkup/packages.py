"""Checks of the package's extras."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from dbd_ray.cli.checkup.finding import Finding

# by the extra's name in pyproject.toml: its packages as pip and as Python name them, and what they are for
EXTRAS: dict[str, tuple[dict[str, str], str]] = {
    "heif": ({"pillow-heif": "pillow_heif"}, "HEIC photos"),
    "raw": ({"rawpy": "rawpy"}, "camera raw files"),
    "jxl": ({"pillow-jxl-plugin": "pillow_jxl"}, "JPEG XL photos"),
    "onnx": ({"onnxruntime": "onnxruntime"}, "the engine onnx"),
    "teachers": (
        {"transformers": "transformers", "ai-edge-litert": "ai_edge_litert"},
        "depth teachers hf: and litert:",
    ),
    "tune": ({"optuna": "optuna"}, "dbd-ray tune"),
}


def find_extras() -> Iterator[Finding]:
    """Tell which extras are installed, and how to add the others."""
    for extra, (packages, purpose) in EXTRAS.items():
        absent = [name for name, module in packages.items() if find_spec(module) is None]
        broken = [] if absent else [why for name, module in packages.items() if (why := _why_not_loaded(name, module))]
        if broken:
            told = f"{'; '.join(broken)} ({purpose}): mend that, or install it again with pip install --force-reinstall"
            yield Finding(f"extra {extra}", "fault", told)
        elif absent:
            yield Finding(f"extra {extra}", "note", f"no {', '.join(absent)} ({purpose}): pip install -e '.[{extra}]'")
        else:
            told = ", ".join(f"{name} {version_of(name)}" for name in packages)
            yield Finding(f"extra {extra}", "ok", f"{told} ({purpose})")


def _why_not_loaded(name: str, module: str) -> str | None:
    try:
        import_module(module)
    except Exception as error:  # noqa: BLE001 - a broken package raises anything
        return f"{name} is installed but does not load ({error})"
    return None


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a module without an installation's notes, as distributions pack some
        return "of unknown version"
