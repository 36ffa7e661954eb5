"""The cells of benchmarks/gpu.py that run in processes of their own, which their time limit stops."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from gpu_cells import Measured, Skipped
from gpu_report import ROOT

GPU = Path(__file__).with_name("gpu.py")


def compile_apart(network: str, options: argparse.Namespace, until: float) -> Measured:
    """Compile in a process of its own, which can be stopped."""
    limit_s = min(options.compile_s, until - time.monotonic())
    if limit_s <= 0:
        raise Skipped(f"--compile-s {options.compile_s:g}")
    if options.device != "cpu" and not find_spec("triton"):
        raise Skipped("Triton is not installed")
    command = [sys.executable, str(GPU), "--compiled", network, "--device", options.device, "--size", str(options.size)]
    command += ["--seconds", str(options.seconds), "--batches", str(options.batches[0]), *["--quick"] * options.quick]
    done = _run(command, limit_s)
    if done.returncode:
        raise Skipped(f"does not compile here: {(done.stderr.strip().splitlines() or ['no reason told'])[-1]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def run_tests(until: float) -> Measured:
    """Run the tests marked `gpu` whose files can be imported here."""
    if not find_spec("pytest"):
        raise Skipped("pytest is not installed")
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    if not files:
        raise Skipped(f"{ROOT} has no tests marked gpu")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--continue-on-collection-errors", *files]
    done = _run(command, until - time.monotonic(), cwd=ROOT)
    said = (done.stdout.strip().splitlines() or [""])[-1].strip("= ")
    if done.returncode:
        raise RuntimeError(said)
    if "passed" not in said:
        raise Skipped(said)
    return Measured(note=said)


def _run(command: list[str], limit_s: float, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own, so that what it started is stopped with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except BaseException as error:  # Ctrl-C as well, which does not reach another session
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Skipped(f"not done within {limit_s:.0f} s") from None
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
