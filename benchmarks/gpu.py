"""A GPU's day in one command: golden outputs, engines' parity, images/s of inference and training, memory, tests.

Needs torch, torchvision, timm, numpy, opencv, Pillow, pyarrow, safetensors and pydantic, and neither Ray nor MLflow:

    PYTHONPATH=. python benchmarks/gpu.py --reference ../shared/reference

The most important cells come first; those for which the time does not suffice are told as skipped. Networks are `lite`
as packaged and the paper's (ResNeXt-101, random weights). Prints one table and writes benchmarks/results/gpu.json. The
exit status is 1 if an output differs or a cell fails, and 2 if there is no GPU; `--device cpu --quick` runs the same
code at tiny sizes anywhere.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from gpu_cells import (
    LITE,
    Bench,
    Measured,
    Skipped,
    compiled_engine,
    engine_parity,
    golden_maps,
    golden_reference,
    inference_speed,
    make_bench,
    peak_memory_mib,
    training_speed,
)
from gpu_processes import compile_apart, run_tests
from gpu_report import Row, describe, table, write

from dbd_ray.checkpoints.authors import Architecture
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import choose_device, multiplies_bfloat16

RESULTS = Path(__file__).parent / "results" / "gpu.json"
BATCHES = (32, 8, 1, 64, 128)  # the most telling first
START_S = 30.0  # for what is imported before the clock runs, and for a last cell that takes longer than expected
FIRST_S = 15.0  # what a cell may take whose like was not measured yet
SMALLEST_PX = 16  # what scenes are rendered at, at least


class Cell(NamedTuple):
    """One row of the table: what is measured, how, and the measurement."""

    part: str
    network: str
    how: str
    batch: int | None
    run: Callable[[], Measured]


def main() -> int:
    """Measure, print and write; return the exit status. With --compiled, measure only that, for another process."""
    options = _options()
    try:
        device = choose_device(options.device)
    except ConfigError as error:
        print(f"no GPU to measure: {error}; --device cpu --quick tries the same code", file=sys.stderr)
        return 2
    if device.type == "cuda":
        torch.cuda.init()  # or there are no memory statistics to reset
    until = time.monotonic() + 60 * options.minutes - START_S
    if options.quick:
        torch.set_num_threads(1)  # tiny pictures gain nothing from more
    bench = make_bench(device, size=options.size, seconds=options.seconds, quick=options.quick)
    if options.compiled:
        # a difference that is no number stays NaN on this way, for null is one that was not measured
        print(json.dumps(compiled_engine(bench, options.compiled, options.batches[0])._asdict()))
        return 0
    facts = {**describe(device), "size_px": options.size, "quick": options.quick}  # now: a lost device tells nothing
    rows = measure(plan(bench, options, until), bench, until)
    print(table(rows))
    write(options.out, {**facts, "rows": rows})
    return int(any(row["status"] in ("differs", "failed") for row in rows))


def plan(bench: Bench, options: argparse.Namespace, until: float) -> Iterator[Cell]:
    """Yield all cells, the most important first."""
    photos, low = len(bench.photos), "bfloat16" if multiplies_bfloat16(bench.device) else "float32"
    yield Cell("golden", LITE, "float32", photos, partial(golden_maps, bench, tf32=False))
    yield Cell("golden", LITE, "float32, TF32", photos, partial(golden_maps, bench, tf32=True))
    for name in get_args(Architecture):
        yield Cell("golden", f"authors' {name}", "float32", 1, partial(_reference, bench, options.reference, name))
    for network in bench.networks:
        yield Cell("parity", network, f"fused {low}", photos, partial(engine_parity, bench, network, "fused"))
    for place, batch in enumerate(options.batches):
        for network in bench.networks:
            train, infer = partial(training_speed, bench, network), partial(inference_speed, bench, network)
            yield Cell("training", network, "bfloat16", batch, partial(train, "bfloat16", batch))
            yield Cell("training", network, "float32", batch, partial(train, "float32", batch))
            yield Cell("inference", network, f"fused {low}", batch, partial(infer, "fused", batch))
            yield Cell("inference", network, "eager float32", batch, partial(infer, "eager", batch))
        if place == 0:
            yield Cell("tests", "", "pytest -m gpu", None, partial(run_tests, until))
            for network in bench.networks:
                yield Cell(
                    "inference", network, f"compiled {low}", batch, partial(compile_apart, network, options, until)
                )


def measure(cells: Iterable[Cell], bench: Bench, until: float) -> list[Row]:
    """Measure cell after cell; one that fails, needs more memory or comes too late harms only itself.

    Only after an error that leaves the device unusable are all later cells skipped, with that error as the reason.
    """
    rows: list[Row] = []
    lost = ""
    for cell in cells:
        needed, left = _needed_s(cell, rows, bench), until - time.monotonic()
        if lost:
            status, found = "skipped", Measured(note=lost)
        elif needed > left:
            status, found = "skipped", Measured(note=f"needs about {needed:.0f} s, and {max(left, 0):.0f} s are left")
        else:
            status, found = _outcome(cell, bench.device)
        what = {"part": cell.part, "network": cell.network, "how": cell.how, "batch": cell.batch}
        rows.append({**what, "status": status, **found._asdict()})
        lost = lost or _free(bench.device)
        said = " ".join(str(value) for value in (*what.values(), status) if value)
        print(f"{until - time.monotonic():4.0f} s left after {said}", file=sys.stderr)
    return rows


def _outcome(cell: Cell, device: torch.device) -> tuple[str, Measured]:
    try:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        found = cell.run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # an error of a kernel that still runs is this cell's
        if found.peak_mib is None and cell.batch:
            found = found._replace(peak_mib=peak_memory_mib(device))
    except (Skipped, ConfigError) as reason:
        return "skipped", Measured(note=str(reason))
    except torch.OutOfMemoryError:
        return "out of memory", Measured()
    except Exception as error:  # noqa: BLE001 - whatever ends a cell, the others are measured and all are written
        return "failed", Measured(note=_first_line(error))
    # this way round, so that a difference that is no number differs
    fits = found.difference is None or found.allowed is None or found.difference <= found.allowed
    return "ok" if fits else "differs", found


def _free(device: torch.device) -> str:
    """Free what a cell held, before the next one is measured; return why the device is lost, or ""."""
    gc.collect()
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
        except RuntimeError as error:  # a kernel's error, say an illegal address, comes again with every later call
            return f"the device is lost: {_first_line(error)}"
    return ""


def _first_line(error: Exception) -> str:
    said = str(error).splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def _needed_s(cell: Cell, rows: list[Row], bench: Bench) -> float:
    """Estimate a cell's time by the last one of its kind, which had another batch."""
    kind = (cell.part, cell.network, cell.how)
    rates = [row["images_per_s"] for row in rows if (row["part"], row["network"], row["how"]) == kind]
    if not rates or rates[-1] is None or cell.batch is None:
        return FIRST_S
    return float(4 * cell.batch / rates[-1] + bench.seconds + 2)


def _reference(bench: Bench, folder: Path | None, architecture: str) -> Measured:
    if folder is None:
        raise Skipped("no --reference")
    return golden_reference(bench, folder, architecture)


def _at_least(lowest: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {lowest}, not {text}")
        return int(text)

    return whole_number


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--minutes", type=float, default=8, help="for everything; what comes too late is skipped")
    parser.add_argument(
        "--reference", type=Path, help="folder of golden_depth_distillation_*.npz and state_dict_*.json"
    )
    parser.add_argument(
        "--batches", type=_at_least(1), nargs="+", help=f"photos at once (default: {BATCHES}; quick: 2)"
    )
    parser.add_argument(
        "--size", type=_at_least(SMALLEST_PX), help="height and width of the photos, px (default: 320; quick: 64)"
    )
    parser.add_argument("--seconds", type=float, help="of one measurement, at least (default: 2; quick: 0.05)")
    parser.add_argument("--compile-s", type=float, help="for one compilation (default: 120; quick: 0, which is none)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and a small backbone, to try the code")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the results")
    parser.add_argument("--compiled", help=argparse.SUPPRESS)
    options = parser.parse_args()
    usual, quick = (list(BATCHES), 320, 2.0, 120.0), ([2], 64, 0.05, 0.0)
    for name, value in zip(("batches", "size", "seconds", "compile_s"), quick if options.quick else usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    sys.exit(main())
