"""The plan of the house, counted from import statements: rooms, arrows, those that run up, and circles.

A room is a first-level name below dbd_ray, a module or a folder; an arrow leads from a room to one that it imports.
Imports inside functions count as well. Above and below are places in `LAYERS`: a room may import what stands beside or
above it. An arrow that runs against this, to a room that stands below, "runs up". Prints a table and every arrow that
runs up and every circle; the exit status is 1 if there is any. `tests/unit/test_architecture.py` holds the package to
the same layers.
"""

import argparse
import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "dbd_ray"
ROOT = Path(__file__).parents[1]

# the same list as in ARCHITECTURE.md: each may import what stands beside or above it here, never what stands below
LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {"errors", "masking", "names", "readable", "summary", "config", "storage", "templates", "hardware", "ray_data"}
        | {"images"}
    ),
    frozenset({"datasets", "models", "metrics"}),
    frozenset({"engines", "checkpoints", "tracking", "teachers"}),
    frozenset({"detection"}),
    frozenset({"pyfunc", "registration", "training", "teaching", "evaluation", "serving", "client", "library"}),
    frozenset({"tuning"}),  # many training runs
    frozenset({"cli"}),
)

Graph = Mapping[str, Iterable[str]]


class Plan(NamedTuple):
    """What the import statements of a package say.

    Attributes:
        rooms: All rooms, sorted.
        arrows: How many imports of one module by another stand behind each (room, imported room).
        up: The arrows that run up, from a layer to one that stands below it in `LAYERS`, sorted.
        room_circles: Groups of rooms that reach each other, each sorted.
        module_circles: The same of modules.
        without_layer: Rooms that `LAYERS` does not name, whose arrows are not judged, sorted.
    """

    rooms: tuple[str, ...]
    arrows: Counter[tuple[str, str]]
    up: tuple[tuple[str, str], ...]
    room_circles: tuple[tuple[str, ...], ...]
    module_circles: tuple[tuple[str, ...], ...]
    without_layer: tuple[str, ...]


def main() -> int:
    """Print the plan; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help=f"folder that holds {NAME}/ (default: ours)")
    package = parser.parse_args().tree / NAME
    if not package.is_dir():
        parser.error(f"{package}: no such folder; give the one that holds {NAME}/")
    try:
        plan = read_plan(package)
    except ValueError as error:
        parser.error(str(error))
    counted = {
        "rooms": len(plan.rooms),
        "arrows": len(plan.arrows),
        "imports between rooms": plan.arrows.total(),
        "arrows that run up": len(plan.up),
        "circles among rooms": len(plan.room_circles),
        "circles among modules": len(plan.module_circles),
    }
    for name, count in counted.items():
        print(f"{name:<24}{count:>5}")
    for room, imported in plan.up:
        print(f"up: {room} → {imported}")
    for kind, circles in (("rooms", plan.room_circles), ("modules", plan.module_circles)):
        for circle in circles:
            print(f"circle of {kind}: {', '.join(circle)}")
    if plan.without_layer:
        print(f"no layer: {', '.join(plan.without_layer)}")
    return int(bool(plan.up or plan.room_circles or plan.module_circles))


def read_plan(package: Path) -> Plan:
    """Read the plan of a package.

    Raises:
        ValueError: The package has no `__init__.py`, or a file has a relative import or is no Python; names it.
    """
    modules = find_modules(package)
    if "" not in modules:
        raise ValueError(f"{package}: no __init__.py in it; give a folder that holds the whole package {NAME}/")
    graph = import_graph(modules)
    del graph[""]  # the package's own file offers what lies in its rooms
    rooms = tuple(sorted({room_of(name) for name in graph}))
    pairs = [(room_of(name), room_of(other)) for name, imported in graph.items() for other in imported]
    arrows = Counter((room, other) for room, other in pairs if room != other)
    layers = {room: number for number, names in enumerate(LAYERS) for room in names}
    known = [arrow for arrow in arrows if arrow[0] in layers and arrow[1] in layers]
    return Plan(
        rooms=rooms,
        arrows=arrows,
        up=tuple(sorted(arrow for arrow in known if layers[arrow[1]] > layers[arrow[0]])),
        room_circles=find_circles({room: [other for start, other in arrows if start == room] for room in rooms}),
        module_circles=find_circles(graph),
        without_layer=tuple(room for room in rooms if room not in layers),
    )


def find_modules(package: Path) -> dict[str, Path]:
    """Find the modules of a package by their names below it; the package itself is ""."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def import_graph(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """Give, for every module, the others that it imports anywhere, inside functions included."""
    return {name: inside(read_imports(path, modules), modules) - {name} for name, path in modules.items()}


def read_imports(path: Path, modules: Mapping[str, Path], *, at_top: bool = False) -> set[str]:
    """Read the full names that a file imports.

    Args:
        path: A Python file.
        modules: What `find_modules` found, by which modules are told from what they hold.
        at_top: Leave out what functions import when they are called.

    Raises:
        ValueError: It has a relative import, or is no Python of UTF-8, with or without a byte order mark.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""  # null bytes have none
        raise ValueError(f"{path}{line}: {error.msg}") from None
    except ValueError as error:  # bytes that are no UTF-8; before Python 3.11.4 null bytes as well
        raise ValueError(f"{path}: {error}") from None
    found: set[str] = set()
    for node in _top_level(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports hide where a name comes from")
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = {name for name in names if name.removeprefix(f"{NAME}.") in modules}
            found |= ours | ({str(node.module)} if names - ours else set())
    return found


def inside(imports: Iterable[str], modules: Mapping[str, Path]) -> set[str]:
    """Keep the modules of the package among full names, by their names below it."""
    return {name.removeprefix(f"{NAME}.") for name in imports if name.startswith(f"{NAME}.")} & modules.keys()


def room_of(module: str) -> str:
    """Give the room of a module's name below the package."""
    return module.split(".")[0]


def find_circles(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Find the groups of nodes that reach each other, each sorted, in order of their first."""
    reached = {node: _reachable(node, graph) for node in graph}
    groups = {tuple(sorted(other for other in reached[node] if node in reached[other])) for node in graph}
    return tuple(sorted(group for group in groups if group))


def _reachable(start: str, graph: Graph) -> set[str]:
    """Nodes that some steps lead to; a node itself only where it is in a circle."""
    found: set[str] = set()
    waiting = set(graph[start])
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting |= set(graph[node]) - found
    return found


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _top_level(child)


if __name__ == "__main__":
    raise SystemExit(main())
