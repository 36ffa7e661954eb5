"""Checks of what runs networks: the packaged model, the engines, and which of them `auto` takes."""

from collections.abc import Iterator
from importlib import import_module

from dbd_ray.cli.checkup.finding import Finding
from dbd_ray.cli.checkup.packages import version_of


def find_models() -> Iterator[Finding]:
    """Tell which models the package holds, each opened."""
    from dbd_ray.checkpoints.files import load_checkpoint
    from dbd_ray.checkpoints.find import packaged_models

    found = packaged_models()
    for name, folder in found.items():
        _, card = load_checkpoint(folder)
        yield Finding(f"model {name}", "ok", f"{card.parameters / 1e6:.1f} M parameters, {card.fingerprint[:12]}")
    if not found:
        yield Finding("models", "fault", "this package holds none: its installation is incomplete, install it again")


def find_engines() -> Iterator[Finding]:
    """Tell which engines there are, and which one `auto` takes and why."""
    from dbd_ray.engines.choose import ENGINES, candidates, installed_engines, library_of
    from dbd_ray.hardware import choose_device

    device = choose_device()
    installed, broken = installed_engines(device), set()
    for library in sorted({library_of(name) for name in installed}):
        names = ", ".join(name for name in installed if library_of(name) == library)
        try:
            import_module(library)
        except Exception as error:  # noqa: BLE001 - what is installed may be broken in any way
            broken.add(library)
            yield Finding(f"engines {names}", "fault", f"{library} is installed but does not load: {error}")
        else:
            yield Finding(f"engines {names}", "ok", f"{library} {version_of(library)}")
    absent = [name for name in ENGINES if name not in installed]
    if absent:
        why = "not installed" if device.type == "cpu" else f"not installed, or for CPUs alone ({device} is used)"
        yield Finding(f"engines {', '.join(absent)}", "note", why)
    yield _choice([name for name in candidates(device) if library_of(name) not in broken])


def _choice(names: list[str]) -> Finding:
    from dbd_ray.checkpoints.files import load_checkpoint
    from dbd_ray.checkpoints.find import packaged_models
    from dbd_ray.engines.measure import kept_speeds
    from dbd_ray.hardware import choose_device

    if len(names) == 1:
        return Finding("engine auto", "ok", f"takes {names[0]}: the only one for this device")
    for model, folder in packaged_models().items():
        network, card = load_checkpoint(folder)
        speeds = kept_speeds(network, card.input_size, choose_device(), names)
        if speeds:
            figures = sorted(speeds.items(), key=lambda item: -item[1])
            told = ", ".join(f"{name} {speed:.1f}" for name, speed in figures)
            return Finding("engine auto", "ok", f"takes {figures[0][0]}: photos/s of {model} measured here: {told}")
    return Finding("engine auto", "ok", f"takes the fastest of {', '.join(names)}, which the first photo will measure")
