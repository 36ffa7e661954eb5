"""The Python of the documentation's pages is run as it stands there, on a few photos or scenes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pyarrow.parquet as pq
import pytest
import ray

from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.names import OUTPUT_COLUMNS

ROOT = Path(__file__).parents[2]
PHOTOS = ("0001", "0002", "0003")
OURS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "MLFLOW_TRACKING_URI")
TIMEOUT_S = 120
# said by the example once it serves, for this test only
READY = "\n    print('serving', flush=True)\n    import signal\n    signal.pause()\n"


def _example(page: str, part: str) -> str:
    """The one Python block of a page that has these words."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if part in block)
    return str(code)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}


def _run(code: str, folder: Path, **variables: str) -> str:
    script = folder / "example.py"
    script.write_text(code, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**_environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture
def folder(tmp_path: Path, cuhk: Path) -> Path:
    """Three photos in `photos`, and one that is broken."""
    (tmp_path / "photos").mkdir()
    for number in PHOTOS:
        shutil.copy(cuhk / "image" / f"out_of_focus{number}.jpg", tmp_path / "photos")
    whole = (tmp_path / "photos" / "out_of_focus0001.jpg").read_bytes()
    (tmp_path / "photos" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def test_photos_are_looked_at_in_a_plain_process_and_a_broken_one_has_its_reason(folder: Path) -> None:
    said = _run(_example("photos.md", "found.summary.focus_kind"), folder).splitlines()
    assert said[0] == "broken.jpg truncated"
    assert [line.split()[0] for line in said[1:]] == [f"out_of_focus{number}.jpg" for number in PHOTOS]
    assert all(line.split()[1] == "partial" for line in said[1:])


def test_masks_have_the_names_that_reconstruction_looks_for(folder: Path) -> None:
    (folder / "photos" / "broken.jpg").unlink()
    assert _run(_example("masks.md", "encode_mask"), folder) == ""
    assert {path.name for path in (folder / "masks").iterdir()} == {
        f"out_of_focus{number}.jpg.png" for number in PHOTOS
    }


@pytest.mark.ray
def test_a_dataset_gets_its_focus_columns(folder: Path, local_ray: None) -> None:
    code = _example("pipeline.md", "map_batches").replace('"photos/"', f'"{folder}/photos/"')
    code = code.replace('"focus/"', f'"{folder}/focus/"')  # workers of a Ray that runs already are in another folder
    _run(code, folder, RAY_ADDRESS=ray.get_runtime_context().gcs_address)
    rows = {Path(row["path"]).name: row for row in pq.read_table(folder / "focus").to_pylist()}
    assert rows.keys() == {path.name for path in (folder / "photos").iterdir()}
    assert all(row.keys() == {"path"} | OUTPUT_COLUMNS.keys() for row in rows.values())
    assert [name for name, row in rows.items() if row["error"]] == ["broken.jpg"]


@pytest.mark.ray
@pytest.mark.cluster
def test_the_detector_is_bound_into_another_application(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = _example("pipeline.md", "RemoteDetector").replace("8000", str(port)) + READY
    script = folder / "album.py"
    script.write_text(code, encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(script)], cwd=folder, env=_environment(), stdout=subprocess.PIPE, stderr=log
        )
        assert process.stdout is not None
        try:
            assert any(b"serving" in line for line in process.stdout), (folder / "log.txt").read_text()
            url = f"http://127.0.0.1:{port}/album"
            good = httpx2.post(
                url, content=(folder / "photos" / "out_of_focus0001.jpg").read_bytes(), timeout=TIMEOUT_S
            )
            bad = httpx2.post(url, content=(folder / "photos" / "broken.jpg").read_bytes(), timeout=TIMEOUT_S)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT_S)
    assert (good.status_code, good.json()["focus_kind"]) == (200, "partial")
    assert 0 < good.json()["in_focus"] < 1
    assert (bad.status_code, bad.json()) == (400, {"reason": "truncated"})


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.cluster
def test_a_tuner_of_ones_own_trains_with_make_trainer(tmp_path: Path, local_ray: None) -> None:
    prepare_scenes(24, tmp_path / "runs" / "scenes", config=SceneConfig(size=(64, 64)), validation_fraction=0.25)
    said = _run(_example("pipeline.md", "make_trainer"), tmp_path)
    best = re.search(r"^(0\.01|0\.001) MAE (0\.\d+) (\S+)$", said, re.MULTILINE)
    assert best, said
    assert (Path(best[3]) / "card.json").is_file()
    assert len([path for path in (tmp_path / "runs" / "tuned").iterdir() if path.name.startswith("lr-")]) == 2


@pytest.mark.ray
def test_the_client_of_the_page_asks_the_endpoint(folder: Path, endpoint: str) -> None:
    shutil.copy(folder / "photos" / "out_of_focus0001.jpg", folder / "photo.jpg")
    code = _example("serving.md", "FocusClient(").replace("http://127.0.0.1:8000", endpoint)
    said = _run(code, folder).splitlines()
    assert said[0].startswith("partial SharpArea(")
    assert said[1].startswith("broken.jpg: ")
    assert said[2:] == ["partial"] * 3
    assert (folder / "focus.png").is_file()
    assert (folder / "mask.png").is_file()
