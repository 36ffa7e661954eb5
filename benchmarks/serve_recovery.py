"""How long the endpoint is away after one of its processes is killed, the only one of its kind.

Asked one photo after the other while the process is killed: seconds from the kill until the last answer that was none,
and how many there were. The bar is 15 s. Prints one table and writes benchmarks/results/serve_recovery.json.
"""

import argparse
import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table
from served import endpoint, open_session, options_parser, post, read_photos

RESULTS = Path(__file__).parent / "results" / "serve_recovery.json"
BAR_S = 15
VICTIMS = ("FocusDetector", "FocusGateway", "ServeController")


def main() -> None:
    """Measure and report."""
    options = _options()
    (photo,) = read_photos(options.photos, 1)
    command = ["-c", "from dbd_ray.cli import main; main()", "serve", "--port", "0", "--model", options.model]
    found: dict[str, list[dict[str, Any]]] = {victim: [] for victim in VICTIMS}
    with endpoint(command) as (url, process):
        for _ in range(options.repeats):
            for victim in VICTIMS:
                found[victim].append(asyncio.run(_kill(url, process.pid, victim, photo, options.watched_s)))
    table = Table("killed", "away, s", "answers that were none", f"bar {BAR_S} s")
    for victim, times in found.items():
        away = [one["away_s"] for one in times]
        failed = ", ".join(str(one["failed"]) for one in times)
        table.add_row(
            victim, ", ".join(f"{one:.1f}" for one in away), failed, "passes" if max(away) <= BAR_S else "fails"
        )
    Console().print(table)
    options.out.parent.mkdir(exist_ok=True, parents=True)
    report = {"model": options.model, "cpus": os.cpu_count(), "watched_s": options.watched_s, "killed": found}
    options.out.write_text(json.dumps(report, indent=2) + "\n")


async def _kill(url: str, parent: int, victim: str, photo: bytes, watched_s: float) -> dict[str, Any]:
    async with open_session() as session:
        while await post(session, f"{url}/v1/focus", photo) != 200:
            pass
        os.kill(_process(parent, victim), signal.SIGKILL)
        killed = time.monotonic()
        away_s, failed = 0.0, 0
        while time.monotonic() - killed < watched_s:
            begun = time.monotonic()
            status = await _ask(session, f"{url}/v1/focus", photo)
            # an answer that was long in coming waited for the new process
            if status != 200 or time.monotonic() - begun > 1:
                away_s = time.monotonic() - killed
                failed += status != 200
    return {"away_s": away_s, "failed": failed}


async def _ask(session: aiohttp.ClientSession, url: str, photo: bytes) -> int:
    status = await post(session, url, photo)
    if status != 200:
        await asyncio.sleep(0.1)  # or thousands of refusals would take the processor from what is starting
    return status


def _process(parent: int, name: str) -> int:
    for process in psutil.Process(parent).children(recursive=True):
        title = " ".join(process.cmdline())
        if title.startswith("ray::") and name in title:
            return process.pid
    raise SystemExit(f"no process of {name} runs")


def _options() -> argparse.Namespace:
    parser = options_parser(__doc__, RESULTS)
    parser.add_argument("--repeats", type=int, default=2, help="kills of each kind of process")
    parser.add_argument("--watched-s", type=float, default=30, help="after each kill")
    return parser.parse_args()


if __name__ == "__main__":
    main()
