"""What a packaged model gets most wrong: drawn beside its card, from scenes whose focus is known exactly.

Renders painted scenes (no photo is in them), detects, prints how many are taken for what they are, and writes
dbd_ray/weights/MODEL/failures.png: of each kind of scene the worst, as photo, truth, map and error.
"""

import argparse
import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, keep_worst, strip_png
from dbd_ray.metrics import FocusMetrics
from dbd_ray.summary import Kind

SHARES: dict[Kind, dict[str, float]] = {
    "partial": {"all_in_focus_share": 0, "none_in_focus_share": 0},
    "all_in_focus": {"all_in_focus_share": 1, "none_in_focus_share": 0},
    "none_in_focus": {"all_in_focus_share": 0, "none_in_focus_share": 1},
}


def main() -> None:
    """Render, detect, and draw the worst."""
    options = _options()
    detector = Detector.load(options.model, engine="eager")
    console, rows = Console(), {}
    for kind in SHARES:
        rows[kind], metrics = look_at_scenes(detector, kind, options.scenes, options.worst)
        console.print(f"{kind}: {metrics['kind_accuracy']:.0%} taken for that, MAE {metrics['mae']:.3f}")
    target = packaged_models()[options.model] / "failures.png"
    draw(rows).savefig(target, dpi=70)
    console.print(str(target))


def look_at_scenes(
    detector: Detector, kind: Kind, scenes: int, worst: int
) -> tuple[list[EvaluatedPhoto], dict[str, float]]:
    """Return the scenes of a kind whose maps are farthest from the truth, the worst first, and all metrics of all."""
    config = SceneConfig(size=(320, 480), painted_share=1, **SHARES[kind])
    metrics, kept = FocusMetrics(), list[EvaluatedPhoto]()
    for index in range(scenes):
        scene = render_scene(index, seed=0, config=config)
        focus = detector.detect([scene.photo])[0].focus
        values = metrics.update(focus, scene.focus)
        kept = keep_worst(kept, EvaluatedPhoto(str(index), values, scene.photo, scene.focus, focus), limit=worst)
    return kept, metrics.compute()


def draw(rows: dict[Kind, list[EvaluatedPhoto]]) -> Figure:
    """Lay out one row of strips for each kind."""
    figure = Figure(figsize=(16, 1.6 * len(rows)), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(rows), max(map(len, rows.values()))))
    for (kind, worst), line in zip(rows.items(), axes, strict=True):
        for scene, axis in zip(worst, line, strict=True):
            axis.imshow(Image.open(io.BytesIO(strip_png(scene))))
            axis.set_title(f"{kind}: mean error {scene.mae:.2f}", fontsize=9)
            axis.axis("off")
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="lite", choices=packaged_models(), help="packaged model")
    parser.add_argument("--scenes", type=int, default=100, help="of each kind")
    parser.add_argument("--worst", type=int, default=2, help="drawn of each kind")
    return parser.parse_args()


if __name__ == "__main__":
    main()
