"""What a large photo costs beyond the network: time per photo, and the process's peak memory.

Enlarges labelled photos to the stated size, detects one at a time, and writes benchmarks/results/native_size.json.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dbd_ray.detection.detector import Detector
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.resize import resize_photo

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure and write."""
    options = _options()
    detector = Detector.load(options.model, device="cpu", engine=options.engine)
    loaded = _peak_mib()
    whole, network = [], []
    for path in sorted(Path(options.photos).iterdir())[: options.count]:
        photo = _enlarged(decode_photo(path.read_bytes()), options.megapixels)
        small = torch.from_numpy(resize_photo(photo, detector.card.input_size)[None]).permute(0, 3, 1, 2)
        detector.detect([photo])  # the first pass over a new size of memory is the system's, not ours
        started = time.perf_counter()
        detector.detect([photo])
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        detector.engine(small)
        network.append(time.perf_counter() - started)
    figures = {
        "megapixels": options.megapixels,
        "photos": len(whole),
        "engine": detector.engine.name,
        "ms_whole": 1e3 * statistics.median(whole),
        "ms_network": 1e3 * statistics.median(network),
        "ms_beyond_network": 1e3 * (statistics.median(whole) - statistics.median(network)),
        "peak_mib": _peak_mib(),
        "peak_mib_before_the_first_photo": loaded,
    }
    (RESULTS / "native_size.json").write_text(json.dumps(figures, indent=2) + "\n")
    table = Table("", "")
    for name, value in figures.items():
        table.add_row(name, f"{value:.0f}" if isinstance(value, float) else str(value))
    Console().print(table)


def _enlarged(photo: np.ndarray, megapixels: float) -> np.ndarray:
    scale = (megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
    # to multiples of eight, as cameras' sizes are
    size = tuple(8 * round(side * scale / 8) for side in photo.shape[1::-1])
    return cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite", help="packaged model or checkpoint folder")
    parser.add_argument("--photos", default="../shared/data/cuhk/image", help="folder of photos")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--engine", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
