"""What the annotation job does about equal, hostile and foreign files, with its stages run here and not by Ray Data."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from libraries import make_library, rows_of, save_photo

from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.predictor import FocusPredictor
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.images.encode import decode_mask
from dbd_ray.library import job, pipeline
from dbd_ray.library.job import annotate, open_library, planned
from dbd_ray.library.look import HashPhotos, LookAtPhotos
from dbd_ray.library.parts import read_table
from dbd_ray.library.places import only_run_in
from dbd_ray.library.report import AnnotateReport
from dbd_ray.library.write import WriteResults

HOSTILE = [
    "<script>alert(1)<",
    "new\nline",
    "quote'\"",
    "100%2F#?",
    "u\u0308",
    "\u00fc",
    "n" * 240,
    os.fsdecode(b"latin-\xe9"),
]
Run = Callable[..., AnnotateReport]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "photos")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each group through the three stages in this process."""

    def annotate_here(run: pipeline.Run, groups: Any, *, photos_per_task: int, on_batch: Any, **_: Any) -> str:
        predictor = FocusPredictor(run.model, column="image", refine=run.config.refine, engine="eager")
        write = WriteResults(run.source, run.out, run.config, run.parameters)
        for batch in _batches(pipeline.rows_of(groups), photos_per_task):
            on_batch(*write(predictor(LookAtPhotos(run.source, run.config)(batch))).values())
        return ""

    def hash_here(run: pipeline.Run, photos: Any) -> dict[bytes, str]:
        hashed = HashPhotos(run.source)({"path": np.array([found.path for found in photos], dtype=object)})
        return dict(zip(hashed["path"], hashed["content_hash"], strict=True))

    monkeypatch.setattr(job, "annotate_groups", annotate_here)
    monkeypatch.setattr(job, "hash_photos", hash_here)


def _batches(rows: Any, count: int) -> Any:
    for at in range(0, len(rows), count):
        columns = rows.slice(at, count).to_pydict()
        yield {name: np.array(values, dtype=object) for name, values in columns.items()}


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, stages: None) -> Run:
    def run_it(source: Path | str, out: Path | str, **settings: Any) -> AnnotateReport:
        common = {"source": str(source), "out": str(out), "model": str(tiny_model), "storage": str(tmp_path / "runs")}
        dry_run = settings.pop("dry_run", False)
        library = open_library(AnnotateConfig(**common | {"photos_per_task": 4} | settings))
        return planned(library) if dry_run else annotate(library)

    return run_it


def test_equal_and_moved_photos_are_not_looked_at_twice(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    shutil.copy(library / "a" / "0.jpg", library / "copy of 0.jpg")
    assert run(library, out).looked_at == 6
    rows = rows_of(out)
    assert rows["copy of 0.jpg"]["content_hash"] == rows["a/0.jpg"]["content_hash"]
    focus = [(out / f"focus/{name}.focus.png").read_bytes() for name in ("a/0.jpg", "copy of 0.jpg")]
    assert decode_mask(focus[0], polarity="focus").tolist() == decode_mask(focus[1], polarity="focus").tolist()

    (library / "moved").mkdir()
    (library / "a" / "3.jpg").rename(library / "moved" / "to here.jpg")
    report = run(library, out)
    assert (report.looked_at, report.reused, report.kept) == (0, 1, 5)
    moved = rows_of(out)["moved/to here.jpg"]
    assert {name: moved[name] for name in ("content_hash", "in_focus_fraction")} == {
        name: rows["a/3.jpg"][name] for name in ("content_hash", "in_focus_fraction")
    }
    assert (out / "focus/moved/to here.jpg.focus.png").is_file()


def test_hostile_files_harm_only_themselves(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    for number, name in enumerate(HOSTILE):
        save_photo(library / f"{name}.jpg", 20 + number)
    save_photo(library / "long" / f"{'m' * 251}.jpg", 50)  # no room for the endings of results
    (library / "cut.jpg").write_bytes((library / "a" / "0.jpg").read_bytes()[:900])
    (library / "text.jpg").write_text("not a photo")
    os.mkfifo(library / "pipe.jpg")
    report = run(library, out)
    assert report.counts["ok"] == 5 + len(HOSTILE)
    failed = {name: row["reason"] for name, row in rows_of(out).items() if row["status"] == "error"}
    assert failed == {"cut.jpg": "truncated", "text.jpg": "not_an_image", f"long/{'m' * 251}.jpg": "unusable_name"}
    found = {os.fsencode(path.relative_to(library)) for path in library.rglob("*") if path.is_file() or path.is_fifo()}
    assert found == {row["path_bytes"] for row in rows_of(out).values()}


def test_files_of_others_are_not_replaced(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    mine = out / "focus" / "a" / "0.jpg.focus.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert run(library, out).counts["error: in_the_way"] == 1
    assert mine.read_bytes() == b"mine"
    assert run(library, out, force=True).counts == {"ok": 5, "skipped: no_photo": 1}

    other = tmp_path / "other"
    other.mkdir()
    pq.write_table(pq.read_table(out / "library.parquet").select(["path"]), other / "library.parquet")
    with pytest.raises(DatasetError, match=r"is no table of a library"):
        run(library, other)
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        run(library, mine)
    foreign = tmp_path / "foreign"
    (foreign / "gallery").mkdir(parents=True)
    (foreign / "gallery" / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match="is no gallery of dbd_ray"):
        run(library, foreign)
    with pytest.raises(ConfigError, match="is the library itself"):
        run(library, library)


def test_rows_of_a_run_that_was_killed_are_not_made_again(library: Path, tmp_path: Path, run: Run) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(library, whole)
    run(library, broken)
    table = read_table(str(broken))
    assert table is not None
    (broken / "library.parquet").unlink()
    parts = broken / ".dbd-ray-parts"
    parts.mkdir()
    done = table.slice(0, 3)
    pq.write_table(done, parts / f"{'0' * 24}.parquet")
    (parts / f"{'1' * 24}.parquet").write_bytes(b"PAR1 half of it")
    report = run(library, broken)
    assert (report.kept, report.looked_at) == (3, 2)
    assert rows_of(broken) == rows_of(whole)
    assert not parts.exists()


def test_sidecars_keep_what_others_wrote_and_say_what_was_found(library: Path, tmp_path: Path, run: Run) -> None:
    theirs = library / "a" / "0.jpg.xmp"
    theirs.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></rdf:RDF></x:xmpmeta>'
    )
    (library / "a" / "1.jpg.xmp").write_text("no xml")
    report = run(library, tmp_path / "out", save="focus,sidecars", keywords=True, rating=True)
    assert report.counts["error: sidecar"] == 1
    assert 'xmp:Rating="5"' in theirs.read_text()
    kind = rows_of(tmp_path / "out")["a/0.jpg"]["focus_kind"]
    assert f"focus:{kind}" in theirs.read_text()
    assert "FocusKind" in (library / "b" / "IMG_1.JPG.xmp").read_text()
    assert (library / "a" / "1.jpg.xmp").read_text() == "no xml"

    apart = tmp_path / "apart"
    run(library, tmp_path / "other", save="sidecars", sidecar_dir=str(apart))
    assert {str(path.relative_to(apart)) for path in apart.rglob("*.xmp")} == {
        *(f"a/{number}.jpg.xmp" for number in range(4)),
        "b/IMG_1.JPG.xmp",
    }


def focus_of(out: Path, name: str) -> list[list[int]]:
    levels: list[list[int]] = decode_mask((out / "focus" / f"{name}.focus.png").read_bytes(), polarity="focus").tolist()
    return levels


def test_photos_that_changed_names_keep_their_own_results(library: Path, tmp_path: Path, run: Run) -> None:
    out, photos = tmp_path / "out", library / "a"
    run(library, out)
    before = [focus_of(out, f"a/{number}.jpg") for number in range(4)]
    (photos / "0.jpg").rename(photos / "x")  # 0 and 1 change names, 2 and 3 move on by one
    (photos / "1.jpg").rename(photos / "0.jpg")
    (photos / "x").rename(photos / "1.jpg")
    (photos / "3.jpg").rename(photos / "4.jpg")
    (photos / "2.jpg").rename(photos / "3.jpg")
    run(library, out)
    assert [focus_of(out, f"a/{number}.jpg") for number in (1, 0, 3, 4)] == before


def test_results_of_an_earlier_photo_of_the_same_name_go(library: Path, tmp_path: Path, run: Run) -> None:
    out, photo = tmp_path / "out", library / "a" / "0.jpg"
    run(library, out, save="focus,crops")
    assert (out / "focus/a/0.jpg.focus.png").exists()
    photo.write_bytes(photo.read_bytes()[:900])
    assert run(library, out, save="focus,crops").counts["error: truncated"] == 1
    assert not (out / "focus/a/0.jpg.focus.png").exists()
    assert not (out / "crops/a/0.jpg.crop.jpg").exists()


def test_progress_tells_how_many_failed(library: Path, tmp_path: Path, tiny_model: Path, stages: None) -> None:
    photo = library / "a" / "0.jpg"
    photo.write_bytes(photo.read_bytes()[:900])
    config = AnnotateConfig(source=str(library), out=str(tmp_path / "out"), model=str(tiny_model))
    heard: list[tuple[int, int, int]] = []
    annotate(
        open_library(config.model_copy(update={"storage": str(tmp_path / "runs")})),
        on_photo=lambda *told: heard.append(told),
    )
    assert heard[-1] == (5, 5, 1)


def test_results_that_were_removed_are_made_again(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    run(library, out)
    (out / "focus/a/0.jpg.focus.png").unlink()
    next((out / "gallery/thumbs").rglob("*.overlay.jpg")).unlink()
    assert run(library, out).looked_at in (1, 2)
    assert run(library, out).looked_at == 0
    assert (out / "focus/a/0.jpg.focus.png").exists()


def test_one_run_at_a_time_and_one_library_for_one_folder(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    run(library, out)
    with only_run_in(str(out)), pytest.raises(ConfigError, match="another run is writing there"):
        run(library, out)
    save_photo(tmp_path / "second" / "a.jpg", 5)
    with pytest.raises(ConfigError, match=r"holds the table of .*photos: choose another folder"):
        run(tmp_path / "second", out)
    (tmp_path / "link").symlink_to(library)
    for spelling in (tmp_path / "link", f"file://{library}", library / "a" / ".."):
        assert run(spelling, out).looked_at == 0
    library.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", out, force=True).looked_at == 0
    assert {row["uri"] for row in rows_of(out).values()} == {str(tmp_path / "moved")}
    (tmp_path / "moved").rename(tmp_path / "disk")
    (tmp_path / "moved").mkdir()
    with pytest.raises(ConfigError, match=r"no photo is left in .* is its disk mounted"):
        run(tmp_path / "moved", out)


def test_files_in_the_place_of_folders_stop_one_photo(library: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    save_photo(library / "x.jpg", 30)
    save_photo(library / "x.jpg.focus.png" / "y.jpg", 31)
    (out / "focus").mkdir(parents=True)
    (out / "focus" / "b").write_text("mine")
    report = run(library, out)
    assert report.counts == {"ok": 5, "error: in_the_way": 2, "skipped: no_photo": 1}
    assert (out / "focus" / "b").read_text() == "mine"


def test_two_photos_never_share_a_mask(library: Path, tmp_path: Path, run: Run) -> None:
    shutil.copy(library / "a" / "0.jpg", library / "a" / "0.jpeg")
    report = run(library, tmp_path / "out", save="masks", masks="nerfstudio", force=True)
    assert report.counts["error: same_name"] == 1
    assert run(library, tmp_path / "colmap", save="masks").counts["ok"] == 6


def test_results_within_the_library_are_no_photos(library: Path, tmp_path: Path, run: Run) -> None:
    run(library, library / "earlier")
    report = run(library, tmp_path / "out", dry_run=True)
    assert (report.looked_at, report.counts["skipped: results"]) == (5, 1)


def test_a_damaged_table_says_what_to_do(library: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "library.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"move library\.parquet away"):
        run(library, tmp_path / "out")


def test_sidecars_that_were_mended_are_written(library: Path, tmp_path: Path, run: Run) -> None:
    damaged = library / "a" / "1.jpg.xmp"
    damaged.write_text("no xml")
    run(library, tmp_path / "out", save="sidecars")
    damaged.unlink()
    assert run(library, tmp_path / "out", save="sidecars").counts["ok"] == 5


@pytest.mark.parametrize("actors", ["0", "3:2", "x"])
def test_actors_that_cannot_be_are_refused(actors: str) -> None:
    with pytest.raises(ValueError, match="actors"):
        AnnotateConfig(source="a", out="b", actors=actors)


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:8000", "ftp://x"])
def test_an_address_of_no_endpoint_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(ValueError, match="is no address of an endpoint: give http://HOST:PORT"):
        AnnotateConfig(source="a", out="b", endpoint=endpoint)
