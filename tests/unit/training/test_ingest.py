from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.training.ingest import choose_ingest

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def prepared(tmp_path: Path) -> list[str]:
    """Two datasets of together 12 GiB of training rows, and as much of others."""
    locations = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = {"train": 30, "val": 10, "test": 20}
        info = PreparedInfo(
            parts="parts-1",
            input_size=(64, 64),
            rows=rows,
            sources={"cuhk": 60},
            depth_rows=0,
            image_bytes=12 * 2**30,
            fingerprint="abc",
        )
        write_info(str(tmp_path / name), info)
        locations.append(str(tmp_path / name))
    return locations


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({}, "streaming", "12 GiB of training rows are above cache_limit_gib=8"),
        ({"cache_limit_gib": 12}, "cached", "12 GiB of training rows are within cache_limit_gib=12"),
        ({"ingest": "cached"}, "cached", "as configured"),
        ({"ingest": "streaming"}, "streaming", "as configured"),
    ],
)
def test_rows_are_held_or_streamed_by_their_size_unless_told(
    make_config: MakeConfig, prepared: list[str], settings: dict[str, Any], kind: str, reason: str
) -> None:
    assert choose_ingest(make_config(data=prepared, **settings)) == (kind, reason)


def test_half_of_the_data_is_small_enough(make_config: MakeConfig, prepared: list[str]) -> None:
    assert choose_ingest(make_config(data=prepared[:1])).kind == "cached"


def test_shares_need_all_rows_at_hand(make_config: MakeConfig, prepared: list[str]) -> None:
    shares = {"rendered": 0.2}
    with pytest.raises(ConfigError, match=r"^shares: .* ingest is streaming \(12 GiB .*raise cache_limit_gib"):
        choose_ingest(make_config(data=prepared, shares=shares))
    assert choose_ingest(make_config(data=prepared, shares=shares, ingest="cached")).kind == "cached"
