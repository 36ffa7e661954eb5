"""How fast teaching is: photos/s of the job with actors ÷ those of a plain loop that decodes and predicts.

The plain loop is one process and one thread. Beside it stand the bounds of two such processes that only decode, or
only predict. Each is measured in turn, so that a machine whose speed drifts hits all. Prints one table and writes
benchmarks/results/teach_throughput.json; --memory measures peak memory over the photos once and ten times instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
SIDES = ("decode", "predict", "loop")


def main() -> None:
    """Measure and report; with --side, be one process of the measurement."""
    options = _options()
    if options.side:
        print(json.dumps(_loop(options, options.side)))
    elif options.memory:
        _report_memory(options)
    else:
        _report_throughput(options)


def _report_throughput(options: argparse.Namespace) -> None:
    rounds = []
    for _ in range(options.rounds):
        found = {"loop": _sides(options, "loop", 1)}
        found |= {f"{side} only": _sides(options, side, options.actors) for side in ("decode", "predict")}
        found["job"] = _job(options, options.repeat)["photos_per_s"]
        rounds.append(found)
    middle = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    ratio = statistics.median(found["job"] / found["loop"] for found in rounds)
    bound = min(("decode only", "predict only"), key=lambda name: middle[name])
    share = statistics.median(found["job"] / found[bound] for found in rounds)
    table = Table("", "photos/s", *[f"round {i + 1}" for i in range(len(rounds))])
    for name, value in middle.items():
        table.add_row(name, f"{value:.1f}", *[f"{found[name]:.1f}" for found in rounds])
    table.add_row("job ÷ loop", f"{ratio:.2f}")
    table.add_row(f"job ÷ {bound}", f"{share:.2f}")
    Console().print(table)
    figures = {"actors": options.actors, "cpus": os.cpu_count(), "rounds": rounds}
    _write("teach_throughput", {**figures, "job_over_loop": ratio, "bound": bound, "job_over_bound": share})


def _report_memory(options: argparse.Namespace) -> None:
    found = {str(repeat): _job(options, repeat) for repeat in ((1,) if options.megapixels else (1, 10))}
    table = Table("photos", "photos/s", "driver, MiB", "largest worker, MiB", "all processes, MiB", "object store, MiB")
    for one in found.values():
        table.add_row(*[f"{one[name]:.0f}" for name in ("photos", "photos_per_s", "driver", "worker", "all", "store")])
    Console().print(table)
    _write("teach_memory_large" if options.megapixels else "teach_memory", found)


def _sides(options: argparse.Namespace, side: str, count: int) -> float:
    command = [sys.executable, __file__, options.photos, options.teacher, "--side", side]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(count)]
    outputs = [process.communicate()[0] for process in running]
    return sum(json.loads(output)["photos_per_s"] for output in outputs)


def _loop(options: argparse.Namespace, side: str) -> dict[str, float]:
    import cv2

    from dbd_ray.images.decode import decode_photo
    from dbd_ray.teachers import load_teacher

    cv2.setNumThreads(1)
    teacher = load_teacher(options.teacher)
    files = _files(options)
    first = decode_photo(files[0].read_bytes(), target_size=teacher.input_size)
    started = time.perf_counter()
    for file in files:
        photo = first if side == "predict" else decode_photo(file.read_bytes(), target_size=teacher.input_size)
        if side != "decode":
            teacher.predict(photo[None])
    return {"photos_per_s": len(files) / (time.perf_counter() - started)}


def _job(options: argparse.Namespace, repeat: int) -> dict[str, float]:
    import ray.data

    from dbd_ray.config import TeachConfig
    from dbd_ray.teaching.job import teach

    with tempfile.TemporaryDirectory() as folder:
        files = (_enlarged(options, Path(folder)) if options.megapixels else _files(options)) * repeat
        manifest = {"id": [f"{i:06}" for i in range(len(files))], "uri": [str(file.absolute()) for file in files]}
        pq.write_table(pa.table(manifest), f"{folder}/photos.parquet")
        settings = {"teacher": options.teacher, "photos": f"{folder}/photos.parquet", "out": f"{folder}/depths"}
        settings |= {"size": (320, 320), "actors": options.actors, "storage": f"{folder}/runs"}
        config, peaks, over = TeachConfig.model_validate(settings), _Peaks(), threading.Event()
        store = int(options.store_gib * 2**30) if options.store_gib else None
        ray.init(
            address="local", object_store_memory=store, include_dashboard=False, dashboard_port=0, log_to_driver=False
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        watch = threading.Thread(target=peaks.watch, args=(over,))
        watch.start()
        try:
            report = teach(config)
        finally:
            over.set()
            watch.join()
            ray.shutdown()
    if report.ok != len(files):
        sys.exit(f"{len(files) - report.ok} photos have no depth: {report.errors}")
    return {"photos": float(len(files)), "photos_per_s": report.photos_per_s, **peaks.mib()}


class _Peaks:
    """Largest memory of this process, of any worker and of all together; unique, so that shared memory counts once."""

    def __init__(self) -> None:
        self.driver = self.worker = self.all = self.store = 0

    def watch(self, over: threading.Event) -> None:
        me = psutil.Process()
        while not over.wait(0.5):
            driver, workers = me.memory_info().rss - me.memory_info().shared, []
            for process in me.children(recursive=True):
                try:
                    if process.name().startswith("ray::"):
                        workers.append(process.memory_info().rss - process.memory_info().shared)
                except psutil.NoSuchProcess:
                    continue
            self.driver = max(self.driver, driver)
            self.worker = max([self.worker, *workers])
            self.all = max(self.all, driver + sum(workers))
            self.store = max(self.store, _store_bytes())

    def mib(self) -> dict[str, float]:
        return {name: getattr(self, name) / 2**20 for name in ("driver", "worker", "all", "store")}


def _store_bytes() -> int:
    import ray

    total = ray.cluster_resources().get("object_store_memory", 0)
    return int(total - ray.available_resources().get("object_store_memory", total))


def _files(options: argparse.Namespace) -> list[Path]:
    return sorted(path for path in Path(options.photos).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _enlarged(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Eight of the photos at the size of a camera's, each named often enough to make up as many as there are."""
    import cv2

    from dbd_ray.images.decode import decode_photo
    from dbd_ray.images.encode import encode_photo

    made, files = [], _files(options)
    for file in files[:8]:
        photo = decode_photo(file.read_bytes())
        scale = (options.megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
        made.append(folder / file.name)
        made[-1].write_bytes(encode_photo(cv2.resize(photo, None, fx=scale, fy=scale), quality=92))
    return [made[i % len(made)] for i in range(len(files))]


def _write(name: str, figures: Mapping[str, object]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("teacher", help="KIND:WHERE, see dbd-ray teach --help")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=1, help="how often the job sees every photo")
    parser.add_argument("--megapixels", type=float, help="enlarge eight of the photos to this size, for --memory")
    parser.add_argument("--store-gib", type=float, help="size of Ray's object store")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
