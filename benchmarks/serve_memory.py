"""Whether the endpoint keeps memory: growth of its processes over many requests, some of them hostile.

The memory of a process is what is its own (USS), sampled a hundred times. Growth is the median of the last tenth of
the samples ÷ that of the first tenth after warm-up. The same is measured of a gateway that keeps every body on
purpose, which the criterion must catch. Prints two tables and writes benchmarks/results/serve_memory.json.
"""

import argparse
import asyncio
import io
import json
import random
import signal
import statistics
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table
from served import LOST, endpoint, open_session, options_parser, post, read_photos

from dbd_ray.cli.serve import suit_one_machine

RESULTS = Path(__file__).parent / "results" / "serve_memory.json"
BAR = 0.05
SAMPLES = 100
PARTS = ("ProxyActor", "FocusGateway", "FocusDetector", "ServeController")
Ask = Callable[[aiohttp.ClientSession], Awaitable[int]]


def main() -> None:
    """Measure and report; with --serve, be the endpoint."""
    options = _options()
    if options.serve:
        serve(options.model, leaking=options.leaking)
        return
    report: dict[str, Any] = {"model": options.model, "requests": options.requests, "hostile": options.hostile}
    for name, flags in {"endpoint": [], "leaking": ["--leaking"]}.items():
        with endpoint([__file__, "--serve", "--model", options.model, *flags]) as (url, process):
            report[name] = asyncio.run(measure(url, psutil.Process(process.pid), options))
    caught = any(one["growth"] >= BAR for one in report["leaking"]["processes"] if one["process"] == "FocusGateway")
    report["passes"] = report["endpoint"]["growth"] < BAR and caught
    _show(report)
    options.out.parent.mkdir(exist_ok=True, parents=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def serve(model: str, *, leaking: bool) -> None:
    """Serve until told to stop, as `dbd-ray serve` does."""
    suit_one_machine()  # before anything of Ray is imported
    import ray

    from dbd_ray.config import ServeConfig
    from dbd_ray.serving.local import endpoint as served_here

    ray.init(
        address="local",
        include_dashboard=False,
        dashboard_port=0,  # see dbd_ray.cli.session
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": _keep_bodies} if leaking else None,
    )
    try:
        with served_here(ServeConfig(model=model), port=0) as url:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # only now: ray.init sets its own
            print(f"answers at {url}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        ray.shutdown()


def _keep_bodies() -> None:
    from dbd_ray.serving.work import PhotoWork

    work: Any = PhotoWork
    kept, detected = [], work._detected

    async def keeping(self: PhotoWork, data: bytes, *others: Any) -> Any:
        kept.append(bytes(bytearray(data)))
        return await detected(self, data, *others)

    work._detected = keeping


async def measure(url: str, process: psutil.Process, options: argparse.Namespace) -> dict[str, Any]:
    """Send the requests and sample; the same ones in the same order for the same options."""
    chance, photos = random.Random(0), read_photos(options.photos, options.count)
    benign, hostile = _benign(url, photos), _hostile(url, photos[0])
    total = options.warm_up + options.requests
    chosen = [chance.choice(hostile if chance.random() < options.hostile else benign) for _ in range(total)]
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    samples: list[dict[str, int]] = []
    waiting = iter(enumerate(chosen))

    async with open_session() as session:

        async def client() -> None:
            for number, (name, ask) in waiting:
                try:
                    status = await ask(session)
                except (aiohttp.ClientError, OSError):
                    status = LOST
                answers[name][str(status)] += 1
                if number >= options.warm_up and number % max(1, options.requests // SAMPLES) == 0:
                    samples.append(await asyncio.to_thread(_memory, process))

        await asyncio.gather(*(client() for _ in range(options.clients)))
    grown = _growth(samples)
    growth = max(one["growth"] for one in grown)
    return {"growth": growth, "processes": grown, "answers": answers, "samples": samples}


def _memory(endpoint_process: psutil.Process) -> dict[str, int]:
    """Bytes of every process of the endpoint, by what it is and its id."""
    found = {}
    for process in endpoint_process.children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            for part in PARTS:
                if title.startswith("ray::") and part in title:
                    found[f"{part} {process.pid}"] = process.memory_full_info().uss
        except psutil.Error:
            continue
    return found


def _growth(samples: list[dict[str, int]]) -> list[dict[str, Any]]:
    """Growth of each process that was there all the time; one that came later grows because it starts."""
    edge = max(1, len(samples) // 10)
    grown = []
    for name in sorted(set.intersection(*(set(sample) for sample in samples))):
        first, last = (statistics.median(one[name] for one in part) for part in (samples[:edge], samples[-edge:]))
        sizes = {"first_mb": first / 1e6, "last_mb": last / 1e6, "growth": last / first - 1}
        grown.append({"process": name.split()[0], **sizes})
    return grown


def _benign(url: str, photos: list[bytes]) -> list[tuple[str, Ask]]:
    focus = f"{url}/v1/focus"
    asks: list[tuple[str, Ask]] = []
    for photo in photos:
        asks += [("json", partial(post, url=focus, photo=photo))] * 5
        asks.append(("pictures", partial(post, url=f"{focus}?include=focus&include=mask", photo=photo)))
        asks.append(("tiles", partial(post, url=f"{focus}?tile=2", photo=photo)))
        asks.append(("overlay", partial(_ask, url=f"{focus}?output=overlay", body=photo, accept="image/png")))
        asks.append(("form", partial(_ask_form, url=focus, field="photo", files=[photo])))
        asks.append(("batch", partial(_ask_form, url=f"{url}/v1/batch", field="photos", files=[photo, *photos[:3]])))
    return asks


def _hostile(url: str, photo: bytes) -> list[tuple[str, Ask]]:
    focus = f"{url}/v1/focus"
    return [
        ("truncated", partial(post, url=focus, photo=photo[: len(photo) // 2])),
        ("empty", partial(post, url=focus, photo=b"")),
        ("noise", partial(post, url=focus, photo=random.Random(1).randbytes(200_000))),
        ("claimed size", partial(post, url=focus, photo=_claiming(100_000))),
        ("bomb beyond the limit", partial(post, url=focus, photo=_blank(9000))),
        ("bomb within the limit", partial(post, url=focus, photo=_blank(3000))),
        ("bad photos in a batch", partial(_ask_form, url=f"{url}/v1/batch", field="photos", files=[photo[:999], b"?"])),
        ("wrong type", partial(_ask, url=focus, body=b"{}", kind="application/json")),
        ("broken form", partial(_ask, url=focus, body=b"--x\r\nContent-Disp", kind="multipart/form-data; boundary=x")),
        ("5 GB announced", partial(_ask_by_hand, url=focus, length=5_000_000_000, body=photo)),
        ("gone in the middle", partial(_ask_by_hand, url=focus, length=len(photo), body=photo[:9000], leave=True)),
    ]


async def _ask(
    session: aiohttp.ClientSession, url: str, body: bytes, *, kind: str = "image/jpeg", accept: str = "*/*"
) -> int:
    async with session.post(url, data=body, headers={"content-type": kind, "accept": accept}) as answer:
        await answer.read()
        return answer.status


async def _ask_form(session: aiohttp.ClientSession, url: str, field: str, files: list[bytes]) -> int:
    form = aiohttp.FormData()
    for file in files:
        form.add_field(field, file, filename="photo.jpg")
    async with session.post(url, data=form) as answer:
        await answer.read()
        return answer.status


async def _ask_by_hand(
    session: aiohttp.ClientSession, url: str, length: int, body: bytes, *, leave: bool = False
) -> int:
    """Send fewer bytes than announced, which an HTTP library does not; leave without an answer if asked to."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: image/jpeg\r\n"
    writer.write(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
    await writer.drain()
    status = LOST if leave else int((await reader.readline()).split()[1])
    writer.close()
    return status


def _claiming(side: int) -> bytes:
    """A PNG file of a few bytes that says it has side × side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def _blank(side: int) -> bytes:
    """A small PNG file that really has side × side pixels."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()


def _show(report: dict[str, Any]) -> None:
    console = Console()
    for name in ("endpoint", "leaking"):
        table = Table(name, "after warm-up, MB", "at the end, MB", "growth")
        for one in report[name]["processes"]:
            sizes = [f"{one[when]:.0f}" for when in ("first_mb", "last_mb")]
            table.add_row(one["process"], *sizes, f"{one['growth']:+.1%}")
        console.print(table)
    console.print(f"growth below {BAR:.0%}, the leaking gateway's not: {'passes' if report['passes'] else 'fails'}")
    for name, statuses in report["endpoint"]["answers"].items():
        console.print(f"{name}: " + ", ".join(f"{count}×{status}" for status, count in sorted(statuses.items())))


def _options() -> argparse.Namespace:
    parser = options_parser(__doc__, RESULTS)
    parser.add_argument("--count", type=int, default=64, help="how many of them are sent, again and again")
    parser.add_argument("--requests", type=int, default=10_000, help="after the warm-up")
    parser.add_argument("--warm-up", type=int, default=1500, help="requests before the first sample")
    parser.add_argument("--hostile", type=float, default=0.01, help="share of requests")
    parser.add_argument("--clients", type=int, default=8, help="few enough that no further replica starts")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--leaking", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
