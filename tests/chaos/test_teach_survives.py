"""Teaching goes on after its driver or a node is killed: every photo once, none lost, nothing committed done again."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.data
from ray.cluster_utils import Cluster

from dbd_ray.config import TeachConfig
from dbd_ray.images.encode import encode_photo
from dbd_ray.teaching.job import teach
from dbd_ray.teaching.store import ROWS_PER_FILE, read_file

pytestmark = [pytest.mark.ray, pytest.mark.chaos]
PHOTOS = 20 * ROWS_PER_FILE
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many small pictures, no two alike."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        picture = rng.integers(0, 255, (8, 12, 3), np.uint8).repeat(12, 0).repeat(12, 1)
        (folder / f"{number:05}.jpg").write_bytes(encode_photo(picture, quality=80))
    return folder


def _settings(photos: Path, out: Path, teacher: Path) -> dict[str, str]:
    return {"teacher": f"self:{teacher}", "photos": str(photos), "out": str(out), "storage": str(out / "runs")}


def _parts(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("self-*/depth-*.parquet")}


def _assert_exact_union(out: Path) -> None:
    counts: Counter[str] = Counter()
    for part in _parts(out):
        table = read_file(str(part.parent), part.name, columns=["id", "depth"])
        assert len(table) <= ROWS_PER_FILE
        assert table["depth"].null_count == 0
        counts.update(table["id"].to_pylist())
    assert len(counts) == PHOTOS, "photos were lost"
    assert set(counts.values()) == {1}, "photos were committed twice"


@pytest.mark.slow
def test_a_killed_driver_loses_nothing_and_repeats_nothing(
    photos: Path, tiny_depth_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = [f"--set={name}={value}" for name, value in _settings(photos, out, tiny_depth_model).items()]
    command = [sys.executable, str(ROOT / "jobs" / "teach.py"), *given, "--set=rows_per_task=16"]
    kept: dict[Path, int] = {}
    for share in (1 / 3, 2 / 3):
        driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert driver.stderr
        said = []
        for line in driver.stderr:  # one for every tenth of the photos
            said.append(line)
            if len(_parts(out)) >= share * PHOTOS / ROWS_PER_FILE:
                break
        else:
            pytest.fail(f"the driver ended by itself: {''.join(said)}")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        before, kept = kept, _parts(out)
        assert before.items() <= kept.items(), "something committed was done again"
        assert len(kept) < PHOTOS / ROWS_PER_FILE, "killed too late to show anything"
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert kept.items() <= _parts(out).items(), "something committed was done again"
    _assert_exact_union(out)


@pytest.mark.slow
def test_a_lost_node_is_made_up_for_by_the_others(
    own_ray: None, photos: Path, tiny_depth_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        removed: list[int] = []

        def remove(done: int, total: int, failed: int) -> None:
            if not removed and done >= total / 3:
                removed.append(done)
                cluster.remove_node(second)

        settings = {
            **_settings(photos, out, tiny_depth_model),
            "actors": 2,
            "cpus_per_actor": 0.25,
            "rows_per_task": 16,
        }
        report = teach(TeachConfig.model_validate(settings), on_photo=remove)
        assert removed
        assert removed[0] < PHOTOS
        assert any(actor.startswith(second.node_id[:8]) for actor in report.actors), "the lost node had done its share"
        assert (report.ok, report.errors) == (PHOTOS, {})
        _assert_exact_union(out)
    finally:
        ray.shutdown()
        cluster.shutdown()
