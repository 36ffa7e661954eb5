"""A node of a cluster is lost while a photo library is annotated: its own work is done again, and no other."""

from pathlib import Path

import pytest
import ray
import ray.data
from libraries import rows_of, save_photo
from ray.cluster_utils import Cluster

from dbd_ray.config import AnnotateConfig
from dbd_ray.library.job import annotate, open_library

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.slow]
PHOTOS, PER_TASK = 96, 4


def _written(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("focus/*.png")}


def test_a_lost_node_costs_its_own_work_alone(own_ray: None, tiny_model: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number in range(PHOTOS):
        save_photo(photos / f"{number}.jpg", number)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address)
    before: dict[str, int] = {}
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False

        def remove(done: int, total: int, failed: int) -> None:
            if not before and done >= total / 2:
                before.update(_written(out))
                cluster.remove_node(second)

        common = {"source": str(photos), "model": str(tiny_model), "storage": str(tmp_path / "runs")}
        common |= {"photos_per_task": str(PER_TASK), "cpus_per_actor": "0.25", "cpus_per_task": "0.25"}
        report = annotate(
            open_library(AnnotateConfig.model_validate(common | {"out": str(out), "actors": 2})), on_photo=remove
        )
        assert before
        assert report.counts == {"ok": PHOTOS}
        whole = tmp_path / "whole"
        annotate(open_library(AnnotateConfig.model_validate(common | {"out": str(whole)})))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert rows_of(out) == rows_of(whole)
    written = _written(out)
    again = [name for name, at in before.items() if written[name] != at]
    assert len(again) < len(before) / 2, f"{len(again)} of {len(before)} were written again"
