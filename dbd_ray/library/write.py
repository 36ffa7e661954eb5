"""The last stage of the annotation pipeline: results are written, and then the rows that say so, a file per batch."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.marks import Origin
from dbd_ray.detection.result_names import MASKS, mask_name, result_name
from dbd_ray.errors import DatasetError, DbdRayError
from dbd_ray.images.decode import decode_as_stored
from dbd_ray.images.encode import encode_mask, encode_photo
from dbd_ray.images.overlay import small_pictures
from dbd_ray.library.camera import CAMERA_COLUMNS
from dbd_ray.library.look import Batch
from dbd_ray.library.masks import reconstruction_mask
from dbd_ray.library.measures import perceptual_hash, sharpness
from dbd_ray.library.parts import commit
from dbd_ray.library.places import Results, Source
from dbd_ray.library.schema import LIBRARY_SCHEMA, path_text
from dbd_ray.library.sidecars import FocusFields, write_sidecar
from dbd_ray.library.xmp_keywords import KEYWORD_PREFIX
from dbd_ray.names import AREA_COLUMNS
from dbd_ray.storage import replace_bytes

THUMBNAIL_PX = 320  # longer side
_DIGITS = 4  # of shares; the last bits depend on which photos share a pass
_STARS = {"none_in_focus": 1, "partial": 3, "all_in_focus": 3}

Written = dict[str, Any]


def result_names(path: str, config: AnnotateConfig) -> dict[str, str]:
    """Name the results of a photo below the folder of results, by kind; they depend on the photo's path alone."""
    names = {
        "focus": f"focus/{result_name(path, 'focus')}",
        "masks": f"{MASKS}/{mask_name(path, config.masks)}",
        "crops": f"crops/{path}.crop.jpg",
    }
    return {kind: name for kind, name in names.items() if kind in config.save}


def thumbnail_names(content_hash: str) -> tuple[str, str]:
    """Name a photo's small picture and its overlay below the folder of results, by content."""
    place = f"gallery/thumbs/{content_hash[:2]}/{content_hash}"
    return f"{place}.jpg", f"{place}.overlay.jpg"


def lacks_results(results: Results, path: bytes, row: Written, config: AnnotateConfig) -> bool:
    """Tell whether results of a row are not there any more."""
    names = result_names(os.fsdecode(path), config)
    if row["sharp_left"] < 0:
        names.pop("crops", None)
    thumbnails = thumbnail_names(row["content_hash"]) if "gallery" in config.save else ()
    return results.lacks([*names.values(), *thumbnails])


def write_sidecar_of(source: Source, row: Written, config: AnnotateConfig) -> tuple[str, str] | None:
    """Write what a row of the table says into its photo's sidecar; returns (reason, detail) where it cannot be."""
    area = tuple(row[name] for name in AREA_COLUMNS)
    fields = FocusFields(
        kind=row["focus_kind"],
        in_focus_fraction=row["in_focus_fraction"],
        sharp_area=area if area[0] >= 0 else None,
        confidence=row["focus_confidence"],
        sharpness=row["sharpness"],
        model=row["focus_model"],
    )
    try:
        write_sidecar(
            source.local_path(row["path_bytes"]),
            fields,
            sidecar_dir=Path(config.sidecar_dir).absolute() if config.sidecar_dir else None,
            photo_root=Path(source.root),
            keywords=[f"{KEYWORD_PREFIX}{row['focus_kind']}"] if config.keywords else None,
            rating=_STARS[row["focus_kind"]] if config.rating else None,
        )
    except DbdRayError as error:
        return "sidecar", str(error)
    return None


class WriteResults:
    """Writes a batch's results and commits its rows; for `Dataset.map_batches`, behind `FocusPredictor`.

    Args:
        source: Folder or URI of the photos.
        out: Folder or URI of the results.
        config: What is written.
        parameters: Value of the column `parameters`.
    """

    def __init__(self, source: str, out: str, config: AnnotateConfig, parameters: str) -> None:
        self.source = Source(source)
        self.results = Results(out, force=config.force)
        self.config = config
        self.parameters = parameters

    def __call__(self, batch: Batch) -> Batch:
        """Turn rows of `LookAtPhotos` with `FocusPredictor`'s columns into (`status`, `reason`) of committed rows."""
        rows = [{name: values[index] for name, values in batch.items()} for index in range(len(batch["path"]))]
        try:
            made = [row for batch_row in rows for row in self._rows(batch_row)]
        except OSError as error:  # those of a name are told in its row
            raise DatasetError(self.results.root, [f"cannot be written ({error}); is the disk full?"]) from None
        commit(self.results.root, pa.Table.from_pylist(made, schema=LIBRARY_SCHEMA))
        return {name: np.array([row[name] or "" for row in made], dtype=object) for name in ("status", "reason")}

    def _rows(self, row: Written) -> list[Written]:
        found = self._found(row)
        contents: dict[str, bytes | None] = {}
        if found["status"] == "ok":
            focus = np.asarray(decode_as_stored(row["focus"]))
            found["sharpness"] = round(sharpness(row["image"], focus), _DIGITS)
            found["perceptual_hash"] = perceptual_hash(row["image"])
            contents = {kind: self._content(kind, row, focus) for kind in result_names("", self.config)}
            if "gallery" in self.config.save:
                self._write_thumbnails(row["content_hash"], row["image"], focus)
        targets = json.loads(row["targets"])  # files of the same content
        return [self._target(found, target, contents) for target in targets]

    def _target(self, found: Written, target: Written, contents: dict[str, bytes | None]) -> Written:
        path = bytes.fromhex(target["path"])
        about = {"path": path_text(path), "path_bytes": path, "uri": self.source.root}
        made = found | about | {"size": target["size"], "mtime_ns": target["mtime_ns"]}
        if found["status"] != "ok":
            self._remove_old(path, found["content_hash"] or "")  # of an earlier photo of this name
            return made
        refusal = self._write(path, self.source.origin(path, found["content_hash"]), contents)
        if not refusal and "sidecars" in self.config.save:
            refusal = write_sidecar_of(self.source, made, self.config)
        if refusal:
            made |= {"status": "error", "reason": refusal[0], "message": refusal[1]}
        return made

    def _found(self, row: Written) -> Written:
        facts = json.loads(row["facts"])
        made: Written = {"focus_model": row["focus_model"] or None, "parameters": self.parameters}
        made |= {"content_hash": row["content_hash"] or None, "status": "ok", "reason": None, "message": None}
        made |= {name: facts.get(name) for name in CAMERA_COLUMNS}
        made["taken_at"] = datetime.fromisoformat(made["taken_at"]) if made["taken_at"] else None
        if row["error"]:
            reason = row["reason"] or _reason_of(row["error"])
            return made | {"status": "error", "reason": reason, "message": row["error"]}
        scale = row["width"] / row["image"].shape[1]
        area = [int(row[name]) for name in AREA_COLUMNS]
        if area[0] >= 0:
            limits = (row["width"], row["height"])
            area = [min(limits[index % 2], round(value * scale)) for index, value in enumerate(area)]
        made |= dict(zip(AREA_COLUMNS, area, strict=True))
        made |= {"width": int(row["width"]), "height": int(row["height"]), "focus_kind": row["focus_kind"]}
        shares = ("in_focus_fraction", "focus_confidence")
        return made | {name: round(float(row[name]), _DIGITS) for name in shares}

    def _write(self, path: bytes, origin: Origin, contents: dict[str, bytes | None]) -> tuple[str, str] | None:
        names = result_names(os.fsdecode(path), self.config)
        if refusal := self.results.refusal(list(names.values()), origin):
            return refusal
        for kind, name in names.items():
            content = contents[kind]
            if content is None:
                self.results.remove(name, origin)
            elif refusal := self.results.write(name, content, origin):
                return refusal
        return None

    def _remove_old(self, path: bytes, content_hash: str) -> None:
        for name in result_names(os.fsdecode(path), self.config).values():
            self.results.remove(name, self.source.origin(path, content_hash))

    def _content(self, kind: str, row: Written, focus: np.ndarray) -> bytes | None:
        if kind == "focus":
            png: bytes = row["focus"]
            return png
        if kind == "masks":
            mask = reconstruction_mask(
                focus,
                (int(row["height"]), int(row["width"])),
                threshold=self.config.threshold,
                margin=self.config.margin,
                orientation=json.loads(row["facts"])["orientation"],
            )
            return encode_mask(mask)
        left, top, right, bottom = (int(row[name]) for name in AREA_COLUMNS)
        return encode_photo(row["image"][top:bottom, left:right]) if left >= 0 else None

    def _write_thumbnails(self, hash: str, photo: np.ndarray, focus: np.ndarray) -> None:
        pictures = map(encode_photo, small_pictures(photo, focus.astype(np.float32) / 255, THUMBNAIL_PX))
        for name, picture in zip(thumbnail_names(hash), pictures, strict=True):
            replace_bytes(f"{self.results.root}/{name}", picture)


def _reason_of(error: str) -> str:
    # `FocusPredictor` ends its messages with the reason in brackets
    return error.rpartition("[")[2].rstrip("]") if error.endswith("]") else "failed"
