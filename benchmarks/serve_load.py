"""How the endpoint bears load: its rate beside the detector's own, latency by offered load, overload, and recovery.

The load generator and the endpoint share the machine's processors, so every rate includes what it costs to ask. Four
measurements, repeated in turn, so that a machine whose speed drifts hits all:

- the detector's own rate: the same work in one process (bytes decoded, batches of 8, the summary as JSON), by one
  detector that looks with all cores, and by as many threads as cores, each with a detector of its own: the endpoint's
  rate is set against the one detector and against the faster of both;
- the endpoint's rate: clients that ask again as soon as they are answered;
- latency at shares of that rate, as photos arrive at random (Poisson), counted from when a photo was due;
- more than it can do, for some seconds, and how long latency at half load is not what it was before.

With --haproxy the endpoint has HAProxy in front and not Ray's proxy in Python (docs/operations.md). Ray's workers run
at the generator's own priority here (Ray gives them a lower one). Prints three tables and writes
benchmarks/results/serve_load.json, or serve_load_haproxy.json.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from served import Sent, endpoint, offer, options_parser, read_photos, saturate

RESULTS = Path(__file__).parent / "results" / "serve_load.json"
BAR = 0.8  # of the detector's own rate
RECOVERY_BAR_S = 10
BATCH = 8
SAME = 1.5  # p95 within so many times what it was is as before
LOOK_S = 5.0  # over which the p95 after an overload is taken


def main() -> None:
    """Measure and report; with --in-process, be the detector without an endpoint."""
    options = _options()
    if options.in_process:
        print(json.dumps(in_process(options)))
        return
    photos = read_photos(options.photos, options.count)
    command = ["-c", "from dbd_ray.cli import main; main()", "serve", "--port", "0", "--model", options.model]
    with endpoint(command + ["--haproxy"] * options.haproxy) as (url, _):
        asyncio.run(saturate(f"{url}/v1/focus", photos, options.clients, options.warm_up_s))
        repeats = [_repeat(url, photos, options, seed) for seed in range(options.repeats)]
    report = _report(repeats, options)
    _show(report)
    out = options.out.with_stem(f"{options.out.stem}_haproxy") if options.haproxy else options.out
    out.parent.mkdir(exist_ok=True, parents=True)
    out.write_text(json.dumps(report, indent=2) + "\n")


def in_process(options: argparse.Namespace) -> float:
    """Photos/s of as many threads as asked for, each with its share of the cores, without an endpoint."""
    from dbd_ray.detection.detector import Detector
    from dbd_ray.images.decode import decode_photo

    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores // options.in_process)
    photos = read_photos(options.photos, options.count)
    detectors = [Detector.load(options.model) for _ in range(options.in_process)]
    done = [0] * len(detectors)
    until = float("inf")

    def work(number: int) -> None:
        endless = itertools.cycle(photos)
        while time.monotonic() < until:
            decoded = [decode_photo(next(endless)) for _ in range(BATCH)]
            for found in detectors[number].detect(decoded, batch_size=BATCH):
                json.dumps(found.summary.as_dict())
            done[number] += BATCH

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(detectors))]
    for thread in threads:
        thread.start()
    while min(done) < BATCH:  # the first batch prepares
        time.sleep(0.01)
    before, started = sum(done), time.monotonic()
    until = started + options.seconds
    for thread in threads:
        thread.join()
    return (sum(done) - before) / (time.monotonic() - started)


def _repeat(url: str, photos: list[bytes], options: argparse.Namespace, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    focus = f"{url}/v1/focus"
    own = {str(threads): _in_own_process(threads) for threads in {1, len(os.sched_getaffinity(0))}}
    full = asyncio.run(saturate(focus, photos, options.clients, options.seconds))
    rate = sum(one.status == 200 for one in full) / options.seconds
    loads = [
        {"share": share, **_measured(asyncio.run(offer(focus, photos, [(rate * share, options.seconds)], rng)))}
        for share in options.shares
    ]
    before = asyncio.run(offer(focus, photos, [(rate / 2, options.seconds)], rng))
    phases = [(rate * options.overload, options.overload_s), (rate / 2, options.recovery_s)]
    sent = asyncio.run(offer(focus, photos, phases, rng))
    during = [one for one in sent if one.due_s < options.overload_s]
    after = [one._replace(due_s=one.due_s - options.overload_s) for one in sent if one.due_s >= options.overload_s]
    usual_s = _p95(before)
    return {
        "detector_per_s": own,
        "endpoint_per_s": rate,
        "ratio_to_one": rate / own["1"],
        "ratio": rate / max(own.values()),
        "not_answered_at_saturation": sum(one.status != 200 for one in full),
        "loads": loads,
        "overload": {**_measured(during), "p95_before_ms": usual_s * 1000, "recovery_s": _recovery_s(after, usual_s)},
    }


def _measured(sent: list[Sent]) -> dict[str, Any]:
    good_ms = [one.latency_s * 1000 for one in sent if one.status == 200]
    p50, p95, p99 = np.percentile(good_ms, [50, 95, 99]).tolist() if good_ms else (None, None, None)
    statuses = Counter(str(one.status) for one in sent)
    return {"photos": len(sent), "statuses": statuses, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def _p95(sent: list[Sent]) -> float:
    # one that was turned away is as late as can be
    return float(np.percentile([one.latency_s if one.status == 200 else 1e3 for one in sent], 95, method="higher"))


def _recovery_s(after: list[Sent], usual_s: float) -> float | None:
    for start in sorted(one.due_s for one in after):
        soon = [one for one in after if start <= one.due_s < start + LOOK_S]
        if _p95(soon) <= SAME * usual_s:
            return float(start)
        if start + LOOK_S > after[-1].due_s:
            break
    return None


def _in_own_process(threads: int) -> float:
    given = ["--in-process", str(threads), *sys.argv[1:]]
    finished = subprocess.run([sys.executable, __file__, *given], capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return float(finished.stdout.splitlines()[-1])


def _report(repeats: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    def middle(*path: str | int) -> float | None:
        found: list[Any] = repeats
        for key in path:
            found = [one[key] for one in found]
        return None if None in found else statistics.median(found)

    def middle_ratio(name: str) -> float:
        return statistics.median(repeat[name] for repeat in repeats)

    loads = []
    for number, share in enumerate(options.shares):
        statuses = [repeat["loads"][number]["statuses"] for repeat in repeats]
        times = {name: middle("loads", number, name) for name in ("p50_ms", "p95_ms", "p99_ms")}
        total = sum(sum(one.values()) for one in statuses)
        loads.append({"share": share, **times, "answered": sum(one.get("200", 0) for one in statuses) / total})
    overload = [repeat["overload"] for repeat in repeats]
    statuses_then: Counter[str] = sum((one["statuses"] for one in overload), Counter())
    recovery_s = middle("overload", "recovery_s")
    ratio, to_one = middle_ratio("ratio"), middle_ratio("ratio_to_one")
    return {
        "model": options.model,
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "settings": {name: getattr(options, name) for name in _SETTINGS},
        "ratio_to_one": to_one,
        "ratio_to_one_passes": to_one >= BAR,
        "ratio": ratio,
        "ratio_passes": ratio >= BAR,
        "loads": loads,
        "overload": {
            "statuses": statuses_then,
            "only_200_and_429": statuses_then.keys() <= {"200", "429"},
            "recovery_s": recovery_s,
            "recovery_passes": recovery_s is not None and bool(recovery_s <= RECOVERY_BAR_S),
        },
        "repeats": repeats,
    }


def _show(report: dict[str, Any]) -> None:
    console = Console()
    proxy = "HAProxy" if report["settings"]["haproxy"] else "Ray's proxy"
    console.print(f"{report['model']}, {proxy}: generator and endpoint share {report['cpus']} cores")
    repeats = report["repeats"]

    def ratios(found: dict[str, Any]) -> list[str]:
        return [f"{found[name]:.3f}" for name in ("ratio_to_one", "ratio")]

    rates = Table(
        "repeat",
        *(f"detectors: {name}" for name in repeats[0]["detector_per_s"]),
        "endpoint",
        "ratio to one",
        "to the faster",
    )
    for number, repeat in enumerate(repeats, 1):
        own = [f"{rate:.1f}/s" for rate in repeat["detector_per_s"].values()]
        rates.add_row(str(number), *own, f"{repeat['endpoint_per_s']:.1f}/s", *ratios(repeat))
    rates.add_row("median", *[""] * len(repeats[0]["detector_per_s"]), f"bar {BAR}", *ratios(report))
    console.print(rates)
    latency = Table("offered load", "p50, ms", "p95, ms", "p99, ms", "answered")
    for load in report["loads"]:
        times = ["" if load[name] is None else f"{load[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms")]
        latency.add_row(f"{load['share']:.0%}", *times, f"{load['answered']:.1%}")
    console.print(latency)
    overload = report["overload"]
    then = Table("answers to too much", "back after", f"bar {RECOVERY_BAR_S} s")
    answers = ", ".join(f"{count}×{status}" for status, count in sorted(overload["statuses"].items()))
    back = "never" if overload["recovery_s"] is None else f"{overload['recovery_s']:.1f} s"
    then.add_row(answers, back, "passes" if overload["recovery_passes"] else "fails")
    console.print(then)


_SETTINGS = ("haproxy", "count", "clients", "repeats", "seconds", "shares", "overload", "overload_s", "recovery_s")


def _options() -> argparse.Namespace:
    parser = options_parser(__doc__, RESULTS)
    parser.add_argument("--count", type=int, default=64, help="how many of them are sent, again and again")
    parser.add_argument("--clients", type=int, default=32, help="that saturate the endpoint")
    parser.add_argument("--repeats", type=int, default=3, help="of everything; medians are told")
    parser.add_argument("--seconds", type=float, default=20, help="of one measurement")
    parser.add_argument("--warm-up-s", type=float, default=45, help="of saturation before the first measurement")
    shares = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2)
    parser.add_argument("--shares", type=float, nargs="+", default=shares, help="of saturation, for latency")
    parser.add_argument("--overload", type=float, default=3, help="times saturation")
    parser.add_argument("--overload-s", type=float, default=10)
    parser.add_argument("--recovery-s", type=float, default=30, help="how long it is watched afterwards")
    parser.add_argument("--haproxy", action="store_true", help="instead of Ray's proxy in Python")
    parser.add_argument("--in-process", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
