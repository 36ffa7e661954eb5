"""What benchmarks of the endpoint share: photos, an endpoint as a process of its own, and clients that ask it."""

import argparse
import asyncio
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import numpy as np

JPEG = {"content-type": "image/jpeg"}
LOST = 0  # the status where a connection was lost


class Sent(NamedTuple):
    """One photo: when it was due, how long its answer took from then, and the status."""

    due_s: float
    latency_s: float
    status: int


def options_parser(description: str | None, results: Path) -> argparse.ArgumentParser:
    """Begin a benchmark's options with those that all have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite", help="packaged model or checkpoint folder")
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/cuhk/image"), help="folder of JPEG photos")
    parser.add_argument("--out", type=Path, default=results, help="file of the results")
    return parser


def read_photos(folder: Path, count: int) -> list[bytes]:
    """Read the first photos of a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".jpg")[:count]
    if not files:
        sys.exit(f"{folder}: has no .jpg files; say by --photos where photos are")
    return [file.read_bytes() for file in files]


@contextmanager
def endpoint(command: Sequence[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run an endpoint as a process of its own; gives its URL and the process."""
    env = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "DBD_RAY_API_KEYS")}
    env["RAY_worker_niceness"] = "0"
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    assert process.stdout
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"answers at (http://[^\s(]+)", line):
                break
        else:
            sys.exit(f"the endpoint did not start: {''.join(said)}")
        # unread, its log would fill the pipe and hold it up
        threading.Thread(target=said.extend, args=(process.stdout,), daemon=True).start()
        yield found[1], process
    finally:
        process.terminate()  # a shell's background jobs, and what they start, ignore SIGINT
        process.wait(timeout=300)


async def saturate(url: str, photos: list[bytes], clients: int, seconds: float) -> list[Sent]:
    """Keep so many clients busy; what was answered within the time."""
    sent: list[Sent] = []
    endless = itertools.cycle(photos)
    async with open_session() as session:
        started = time.monotonic()

        async def client() -> None:
            while (now := time.monotonic()) < started + seconds:
                status = await post(session, url, next(endless))
                if time.monotonic() < started + seconds:
                    sent.append(Sent(now - started, time.monotonic() - now, status))

        await asyncio.gather(*(client() for _ in range(clients)))
    return sent


async def offer(
    url: str, photos: list[bytes], phases: Sequence[tuple[float, float]], rng: np.random.Generator
) -> list[Sent]:
    """Send photos when they are due, answered or not; phases are (photos per second, seconds)."""
    due: list[float] = []
    start = 0.0
    for rate, seconds in phases:
        gaps = rng.exponential(1 / rate, size=round(2 * rate * seconds) + 20)
        due += [start + at for at in np.cumsum(gaps) if at < seconds]
        start += seconds
    sent: list[Sent] = []
    async with open_session() as session, asyncio.TaskGroup() as tasks:
        started = time.monotonic()

        async def one(at: float, photo: bytes) -> None:
            status = await post(session, url, photo)
            sent.append(Sent(at, time.monotonic() - started - at, status))

        for at, photo in zip(due, itertools.cycle(photos), strict=False):
            await asyncio.sleep(started + at - time.monotonic())
            tasks.create_task(one(at, photo))
    return sorted(sent)


def open_session() -> aiohttp.ClientSession:
    """As many connections as there are photos under way; their answers may take long."""
    timeout = aiohttp.ClientTimeout(total=180)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def post(session: aiohttp.ClientSession, url: str, photo: bytes) -> int:
    """Send a photo; gives the answer's status."""
    try:
        async with session.post(url, data=photo, headers=JPEG) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return LOST
