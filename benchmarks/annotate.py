"""How fast a photo library is annotated: photos/s of `dbd-ray annotate`, beside its parts and a plain loop.

The library is made of photos in a folder of yours, enlarged and encoded as JPEG, so that decoding costs what it does
for a camera's photos. In one run: decoding alone (as the pipeline decodes), detection alone (decoded photos in
memory), a plain loop of Pillow and torch over full-size photos, and the command's pipeline, whose start-up is told
apart. Then how long a scan and a run with nothing to do take for many small files. Prints a table and writes
benchmarks/results/annotate.json.

python benchmarks/annotate.py --photos path/to/photos --count 200
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from dbd_ray.cli.session import local_or_cluster
from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.detector import Detector
from dbd_ray.hardware import describe_device
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.library.job import annotate, open_library
from dbd_ray.library.scan import scan

RESULTS = Path(__file__).parent / "results"
MODEL, LONG_SIDE, BATCH = "lite", 1024, 16
MOST_PICTURES = 200  # that are enlarged; further photos are these with another comment


def main() -> None:
    """Measure and report."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.temporary) as folder:
        library = Path(folder) / "library"
        _make_library(sorted(options.photos.rglob("*.jpg")), library, options.count, options.megapixels)
        files = [path.read_bytes() for path in sorted(library.iterdir())[: options.part]]
        figures: dict[str, object] = {
            "photos": options.count,
            "megapixels": options.megapixels,
            "machine": describe_device(torch.device("cpu")),
        }
        detector = Detector.load(MODEL, device="cpu")
        photos = [_decoded(data) for data in files[:BATCH]]
        detector.detect(photos)
        rates = {
            "decode alone": _rate(lambda: [_decoded(data) for data in files], options.part),
            "detect alone": _rate(lambda: _detect(detector, photos, options.part), options.part),
            "plain loop": _rate(lambda: _plain_loop(detector, files), options.part),
        }
        with local_or_cluster():
            rates["annotate"], rates["annotate, start included"] = _annotate(library, Path(folder) / "out")
            for count in options.small:
                figures |= _many_files(Path(folder), count)
    lower = min(rates["decode alone"], rates["detect alone"])
    ratios = {"annotate / lower of both alone": rates["annotate"] / lower}
    ratios["annotate / plain loop"] = rates["annotate"] / rates["plain loop"]
    _show(rates, ratios, figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "annotate.json").write_text(json.dumps({**figures, "photos_per_s": rates, "ratios": ratios}, indent=2))


def _make_library(sources: list[Path], folder: Path, count: int, megapixels: tuple[float, float]) -> None:
    folder.mkdir()
    pictures = min(count, len(sources), MOST_PICTURES)
    for number, source in enumerate(sources[:pictures]):
        photo = Image.open(source).convert("RGB")
        # sizes are mixed, so that any first part has about the average
        pixels = 1e6 * (megapixels[0] + (megapixels[1] - megapixels[0]) * (number * 0.618 % 1))
        scale = (pixels / (photo.width * photo.height)) ** 0.5
        buffer = BytesIO()
        size = round(photo.width * scale), round(photo.height * scale)
        photo.resize(size, Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
        start, rest = buffer.getvalue()[:2], buffer.getvalue()[2:]
        for copy in range(number, count, pictures):
            # the comment differs: copies would be looked at once
            comment = f"{copy:08d}".encode()
            marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big")
            (folder / f"{copy:05d}.jpg").write_bytes(start + marker + comment + rest)


def _decoded(data: bytes) -> np.ndarray:
    height, width = photo_size(data)
    scale = min(1.0, LONG_SIDE / max(height, width))
    return decode_photo(data, target_size=(round(height * scale), round(width * scale)))


def _detect(detector: Detector, photos: list[np.ndarray], count: int) -> None:
    for _ in range(0, count, len(photos)):
        detector.detect(photos)


def _plain_loop(detector: Detector, files: list[bytes]) -> None:
    # what people write: the whole photo, one at a time, eager torch on a small copy
    network = detector.network
    for data in files:
        photo = decode_photo(data)
        small = Image.fromarray(photo).resize(detector.card.input_size[::-1])
        pixels = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (detector.card.mean, detector.card.std))
        with torch.inference_mode():
            network((pixels - mean) / std)


def _annotate(library: Path, out: Path) -> tuple[float, float]:
    commits: list[tuple[float, int]] = []
    started = time.perf_counter()
    config = AnnotateConfig(source=str(library), out=str(out), model=MODEL, storage=str(out.parent / "runs"))
    report = annotate(
        open_library(config), on_photo=lambda done, total, failed: commits.append((time.perf_counter(), done))
    )
    (first_at, first), (last_at, last) = commits[0], commits[-1]
    return (last - first) / (last_at - first_at), report.looked_at / (time.perf_counter() - started)


def _many_files(folder: Path, count: int) -> dict[str, float]:
    """Seconds of a scan, a first run and a run with nothing to do over copies of a small photo, and memory."""
    library = folder / f"small-{count}"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    for number in range(count):
        path = library / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.save(path)
    out = folder / f"small-{count}-out"
    config = AnnotateConfig(source=str(library), out=str(out), model=MODEL, storage=str(folder / "runs"), save=())
    return {
        f"scan of {count} files, s": _seconds(lambda: scan(str(library))),
        f"first run over {count} copies, s": _seconds(lambda: annotate(open_library(config))),
        f"second run over {count} files, s": _seconds(lambda: annotate(open_library(config))),
        f"driver after {count} files, peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _rate(work: Callable[[], object], count: int) -> float:
    return count / _seconds(work)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _show(rates: dict[str, float], ratios: dict[str, float], figures: dict[str, object]) -> None:
    table = Table("what", "value")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:.1f} photos/s")
    for name, ratio in ratios.items():
        table.add_row(name, f"{ratio:.2f}")
    for name, value in figures.items():
        table.add_row(name, f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with JPEG photos")
    parser.add_argument("--count", type=int, default=200, help="photos of the library")
    parser.add_argument("--part", type=int, default=64, help="photos for each part alone")
    parser.add_argument("--megapixels", type=float, nargs=2, default=(12, 24), help="of the smallest and the largest")
    parser.add_argument("--small", type=int, nargs="+", default=[10_000], help="numbers of small files for the scan")
    parser.add_argument("--temporary", type=Path, help="folder for the library; default the system's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
