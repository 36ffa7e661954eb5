"""How the detector's accuracy changes with JPEG quality, noise, exposure, scale, rotation and colour.

Measures models on the test photos of a labelled folder at their own size, writes benchmarks/results/robustness.json
and robustness.png.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from dbd_ray.datasets.labelled import read_labelled
from dbd_ray.datasets.layouts import scan_layout
from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.robustness import HEADLINE, draw_robustness, measure_robustness

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, draw and write."""
    options = _options()
    console = Console()
    found, problems = scan_layout(options.root, "cuhk")
    if problems:
        raise SystemExit("\n".join(problems))
    tests = [photo for photo in found if photo.split == "test"][:: options.every]

    def photos() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for photo in tests:
            labelled = read_labelled(photo)
            if isinstance(labelled, str):
                raise SystemExit(labelled)
            yield labelled

    models = {}
    for name in options.models:
        detector = Detector.load(name, engine=options.engine)
        show = lambda change, level, name=name: console.print(f"{name}: {change} {level:g}")  # noqa: E731
        models[name] = measure_robustness(detector, photos, on_level=show)
    RESULTS.mkdir(exist_ok=True)
    figures = {
        name: {
            change: {f"{level:g}": {metric: values[metric] for metric in HEADLINE} for level, values in levels.items()}
            for change, levels in curves.items()
        }
        for name, curves in models.items()
    }
    (RESULTS / "robustness.json").write_text(json.dumps({"photos": len(tests), "models": figures}, indent=2) + "\n")
    draw_robustness(models).savefig(RESULTS / "robustness.png", dpi=110)
    console.print(f"{RESULTS / 'robustness.json'}, robustness.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["lite"], help="packaged models or checkpoint folders")
    parser.add_argument("--root", default="../shared/data/cuhk", help="folder in CUHK layout")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th test photo only")
    parser.add_argument("--engine", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
