"""Rows of a prepared dataset, made of labelled photos or of rendered scenes."""

import hashlib
from typing import Any

import cv2
import numpy as np

from dbd_ray.datasets.labelled import read_labelled
from dbd_ray.datasets.layouts import LabelledPhoto
from dbd_ray.datasets.prepared import RENDERED_SOURCE
from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.errors import PhotoError
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.resize import resize_photo
from dbd_ray.storage import read_bytes

PHOTOS_PER_SCENE = 4
JPEG_QUALITY = 95  # high and without chroma subsampling: recompression must not look like defocus


class LabelledRows:
    """Turns the fields of a `LabelledPhoto` into a row, or into `id` and `problem` where it cannot be used.

    Args:
        input_size: (height, width) of the row's picture and mask, px.
        allow_constant_masks: Accept masks of one class (all in focus, or none).
    """

    def __init__(self, input_size: tuple[int, int], allow_constant_masks: bool):
        self.input_size = input_size
        self.allow_constant_masks = allow_constant_masks

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        photo = LabelledPhoto(**item)
        labelled = read_labelled(photo, allow_constant=self.allow_constant_masks)
        if isinstance(labelled, str):
            return {"id": photo.id, "problem": labelled}
        pixels, truth = labelled
        height, width = self.input_size
        focus = cv2.resize(truth, (width, height), interpolation=cv2.INTER_AREA)
        return {
            "id": photo.id,
            "split": photo.split,
            "source": photo.source,
            "width": width,
            "height": height,
            "image": encode_photo(resize_photo(pixels, self.input_size), quality=JPEG_QUALITY),
            "mask": encode_mask(focus / np.float32(255)),
            "uri": photo.image_uri,
        }


class RenderedRows:
    """Renders the scene of an `index` and `split` into a row; it reads only the photos that the scene is cut from.

    Args:
        config: Settings of the scenes.
        seed: Scene i is a function of (seed, i).
        photo_uris: Photos that surfaces are cut from; none: painted surfaces.
    """

    def __init__(self, config: SceneConfig, seed: int, photo_uris: tuple[str, ...]):
        self.config = config
        self.seed = seed
        self.photo_uris = photo_uris

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        index = int(item["index"])
        try:
            scene = render_scene(index, seed=self.seed, config=self.config, photos=self._photos(index))
        except (OSError, PhotoError) as error:
            return {"id": f"scene-{index}", "problem": f"scene {index}: a source photo cannot be used: {error}"}
        height, width = scene.focus.shape
        return {
            "id": f"{RENDERED_SOURCE}-{self.seed}-{index:06d}",
            "split": item["split"],
            "source": RENDERED_SOURCE,
            "width": width,
            "height": height,
            "image": encode_photo(scene.photo, quality=JPEG_QUALITY),
            "mask": encode_mask(scene.focus),
            "depth": encode_depth(scene.depth),
            "depth_teacher": "rendered@thin-lens",
        }

    def _photos(self, index: int) -> list[bytes] | None:
        if not self.photo_uris:
            return None
        rng = np.random.default_rng([self.seed, index])
        chosen = rng.choice(len(self.photo_uris), size=min(PHOTOS_PER_SCENE, len(self.photo_uris)), replace=False)
        return [read_bytes(self.photo_uris[i]) for i in chosen]


def row_fingerprint(row: dict[str, Any]) -> str:
    """Hash a row's id, split, source, picture, mask and depth; the result ends in `+depth` where it has a depth."""
    content = hashlib.sha256(f"{row['id']}|{row.get('split')}|{row.get('source')}".encode())
    for name in ("image", "mask", "depth"):
        content.update(row.get(name) or b"")
    return content.hexdigest() + ("+depth" if row.get("depth") else "")
