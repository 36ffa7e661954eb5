"""Checks of places: folders that are written to, and MLflow's store."""

import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from dbd_ray.cli.checkup.finding import Finding, State
from dbd_ray.cli.checkup.machine import GIB

ANSWER_S = 2.0
STORAGE = "runs"  # the settings' default
LONGEST_SOCKET = 107  # bytes of a path
SOCKET_BELOW = len("/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")
LEAST_FREE = 0.05  # Ray stops writing where a disk is fuller
SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_GIB = 0.5  # Docker gives 64 MiB


def find_folders() -> Iterator[Finding]:
    """Tell whether the folders that commands write to can be written to."""
    home = os.environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - which raises nothing without one
    if home.startswith("~"):
        yield Finding("home", "fault", "this user has no home folder: set HOME to a folder that it may write to")
    else:
        yield _folder("home", Path(home), "note", "settings of MLflow and tokens of Ray lie there")
    yield _folder("current folder", Path.cwd(), "note", "give results another one with --out")


def find_cache() -> Iterator[Finding]:
    """Tell whether what engines make in seconds is kept."""
    from dbd_ray.engines.onnx_engine import cache_folder

    yield _folder("engines' cache", cache_folder(), "note", "each process measures engines anew; set DBD_RAY_CACHE")


def find_hub_cache() -> Iterator[Finding]:
    """Tell whether depth teachers of a hub can be kept."""
    folder = os.environ.get("HF_HOME")
    if folder:
        yield _folder("HF_HOME", Path(folder), "note", "depth teachers hf: cannot be kept there")


def find_temporary() -> Iterator[Finding]:
    """Tell whether a Ray that starts here can keep its files."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    folder = Path(os.environ[variable] if variable else tempfile.gettempdir())
    about = f"Ray's folder ({variable or 'temporary'})"
    if len(os.fsencode(folder)) + SOCKET_BELOW > LONGEST_SOCKET:
        yield Finding(about, "fault", f"{folder}: too long for Ray's sockets; set RAY_TMPDIR to a short path")
        return
    yield _folder(about, folder, "fault", "set RAY_TMPDIR to a folder with a short path that can be written to")


def find_shared_memory() -> Iterator[Finding]:
    """Tell whether Ray has shared memory for its objects."""
    if not SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(SHARED_MEMORY).free / GIB
    if free < LEAST_SHARED_GIB:
        todo = "Ray's objects go to the disk; give a container --shm-size 1g"
        yield Finding("shared memory", "note", f"{free:.2f} GiB free in {SHARED_MEMORY}: {todo}")
    else:
        yield Finding("shared memory", "ok", f"{free:.1f} GiB free in {SHARED_MEMORY}")


def find_store() -> Iterator[Finding]:
    """Tell where MLflow's runs go, and whether that works; nothing is made there."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        file = Path(STORAGE, "mlflow.db")
        if file.exists():
            yield _database(file, "")
        else:
            yield Finding("MLflow", "ok", f"{file} below the current folder, which the first run makes")
        return
    from dbd_ray.tracking.runs import refuse_file_store
    from dbd_ray.tracking.store import database_file, probe_server, store_errors

    refuse_file_store(uri)
    database = database_file(uri)
    if database and database.exists():
        yield _database(database, "MLFLOW_TRACKING_URI: ")
    elif database:
        yield _folder("MLflow", database.parent, "fault", f"{database} is to be made there by the first run")
    elif uri.startswith(("http://", "https://")):
        with store_errors(uri, "MLflow cannot be used there"):
            probe_server(uri, ANSWER_S)
        yield Finding("MLflow", "ok", f"MLFLOW_TRACKING_URI={uri} answers")
    else:
        parts = urlsplit(uri)
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S).close()
        yield Finding("MLflow", "ok", f"MLFLOW_TRACKING_URI={uri}; nobody logged in to it here")


def _database(file: Path, before: str) -> Finding:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=ANSWER_S)) as database:
            (runs,) = database.execute("select count(*) from runs").fetchone()
    except sqlite3.Error as error:
        return Finding("MLflow", "fault", f"{before}{file} is no database of MLflow's that can be read ({error})")
    if not os.access(file, os.W_OK):
        return Finding("MLflow", "fault", f"{before}{file} cannot be written to, runs: {runs}")
    return Finding("MLflow", "ok", f"{before}{file}, runs: {runs}")


def _folder(about: str, folder: Path, otherwise: State, consequence: str) -> Finding:
    there = folder
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
        usage = shutil.disk_usage(there)
    except OSError as error:
        return Finding(about, otherwise, f"{folder} cannot be written to ({error.strerror}): {consequence}")
    made = "" if there == folder else ", made when needed"
    free = f"{usage.free / GIB:.1f} GiB free{made}"
    if usage.free < LEAST_FREE * usage.total:
        return Finding(about, "note", f"{folder}, {free}: the disk is nearly full, and Ray stops writing there")
    return Finding(about, "ok", f"{folder}, {free}")
