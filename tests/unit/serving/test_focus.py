"""Promises of POST /v1/focus and /v1/batch: the detector's own maps, as the client wants them."""

import base64
import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth, decode_mask, encode_mask

Client = Callable[..., TestClient]
JPEG = {"content-type": "image/jpeg"}
PNG = {"accept": "image/png"}


def _levels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_summary_is_the_detectors(client: Client, here: Any, photo_bytes: bytes) -> None:
    answer = client().post("/v1/focus", content=photo_bytes, headers=JPEG)
    assert answer.status_code == 200
    found = here.detector.detect([decode_photo(photo_bytes)])[0]
    assert answer.json()["summary"] == found.summary.as_dict()
    assert (answer.json()["height"], answer.json()["width"]) == found.focus.shape
    assert answer.json()["pictures"] == {}


def test_the_map_is_the_detectors(client: Client, here: Any, photo_bytes: bytes) -> None:
    answer = client().post("/v1/focus", content=photo_bytes, headers=JPEG | PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == encode_mask(here.detector.detect([decode_photo(photo_bytes)])[0].focus)


def test_a_form_and_a_raw_body_are_answered_alike(client: Client, photo_bytes: bytes) -> None:
    raw = client().post("/v1/focus", content=photo_bytes, headers={"content-type": "application/octet-stream"})
    form = client().post("/v1/focus", files={"photo": ("a.jpg", photo_bytes, "image/jpeg")})
    assert raw.status_code == form.status_code == 200
    assert raw.json() == form.json()


def test_pictures_come_inside_the_json_when_asked_for(client: Client, photo_bytes: bytes) -> None:
    url = "/v1/focus?include=focus&include=mask&include=overlay&threshold=0.4"
    answer = client().post(url, content=photo_bytes, headers=JPEG).json()
    pictures = {name: base64.b64decode(png) for name, png in answer["pictures"].items()}
    assert pictures.keys() == {"focus", "mask", "overlay"}
    focus, mask = _levels(pictures["focus"]), _levels(pictures["mask"])
    assert focus.shape == mask.shape == (answer["height"], answer["width"])
    assert np.array_equal(mask == 255, focus >= 0.4 * 255) or np.mean((mask == 255) != (focus >= 0.4 * 255)) < 0.005
    assert _levels(pictures["overlay"]).shape == (*focus.shape, 3)


def test_polarity_inverts_what_is_written(client: Client, photo_bytes: bytes) -> None:
    written = [
        client().post(f"/v1/focus?polarity={polarity}", content=photo_bytes, headers=JPEG | PNG).content
        for polarity in ("focus", "blur")
    ]
    assert np.array_equal(decode_mask(written[0], polarity="focus"), decode_mask(written[1], polarity="blur"))


def test_a_margin_grows_the_mask_and_a_negative_one_shrinks_it(client: Client, here: Any, photo_bytes: bytes) -> None:
    focus = here.detector.detect([decode_photo(photo_bytes)])[0].focus
    level = float(np.median(focus))  # half of the photo is in focus then
    masks = [
        _levels(
            client()
            .post(f"/v1/focus?output=mask&threshold={level}&margin={margin}", content=photo_bytes, headers=JPEG | PNG)
            .content
        )
        == 255
        for margin in (-3, 0, 3)
    ]
    for small, large in pairwise(masks):
        assert (small & ~large).sum() == 0
        assert small.sum() < large.sum()
    assert np.array_equal(masks[1], focus >= level)


def test_max_side_makes_pictures_smaller_and_leaves_the_summary(client: Client, photo_bytes: bytes) -> None:
    whole = client().post("/v1/focus?include=focus", content=photo_bytes, headers=JPEG).json()
    small = client().post("/v1/focus?include=focus&max_side=100", content=photo_bytes, headers=JPEG).json()
    assert small["summary"] == whole["summary"]
    assert max(_levels(base64.b64decode(small["pictures"]["focus"])).shape) == 100


@pytest.mark.parametrize(
    "name", ["exiv2__issue_9292_sony_6_right_top.HIF", "photoprism__canon_eos_6d.dng", "Pillow__hopper.Lab.tif"]
)
def test_a_preview_is_the_upright_photo_for_whoever_cannot_read_its_file(
    client: Client, camera_files: Path, name: str
) -> None:
    data = (camera_files / name).read_bytes()
    try:
        photo = decode_photo(data)
    except PhotoError as error:
        if not error.reason.startswith("needs_extra"):
            raise
        pytest.skip(str(error))
    plain = client().post("/v1/focus?include=focus", content=data, headers=JPEG).json()
    answer = client().post("/v1/focus?include=focus&preview=300", content=data, headers=JPEG).json()
    preview = Image.open(io.BytesIO(base64.b64decode(answer["pictures"].pop("preview"))))
    assert answer == plain
    height, width = photo.shape[:2]
    scale = min(1, 300 / max(height, width))
    assert (preview.format, preview.size) == ("JPEG", (round(width * scale), round(height * scale)))
    expected = Image.fromarray(photo).resize(preview.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(preview, np.float32) - np.asarray(expected, np.float32)).mean() < 6


def test_depth_is_a_picture_where_the_model_gives_it(client: Client, here_with_depth: Any, photo_bytes: bytes) -> None:
    deep = client(detector=here_with_depth)
    depth = decode_depth(deep.post("/v1/focus?output=depth", content=photo_bytes, headers=JPEG | PNG).content)
    expected = here_with_depth.detector.detect([decode_photo(photo_bytes)])[0].depth
    assert np.abs(depth - expected).max() <= 1 / 65535
    flat = client().post("/v1/focus?output=depth", content=photo_bytes, headers=JPEG | PNG)
    assert (flat.status_code, flat.json()["reason"]) == (422, "no_depth")
    tiled = deep.post("/v1/focus?output=depth&tile=2", content=photo_bytes, headers=JPEG | PNG)
    assert (tiled.status_code, tiled.json()["reason"]) == (422, "no_depth")


@pytest.mark.parametrize("query", ["tile=2", "refine=bilinear"])
def test_options_of_the_detector_reach_it(client: Client, here: Any, photo_bytes: bytes, query: str) -> None:
    name, value = query.split("=")
    option = {name: int(value) if value.isdigit() else value}
    answer = client().post(f"/v1/focus?{query}", content=photo_bytes, headers=JPEG | PNG)
    assert answer.content == encode_mask(here.detector.detect([decode_photo(photo_bytes)], **option)[0].focus)


def test_one_bad_photo_of_a_batch_harms_only_itself(client: Client, counted: Any, photo_bytes: bytes) -> None:
    files = [("a.jpg", photo_bytes), ("b.jpg", photo_bytes[:900]), ("c.txt", b"hello"), ("d.jpg", photo_bytes)]
    answer = client().post("/v1/batch", files=[("photos", (name, data, "image/jpeg")) for name, data in files]).json()
    assert [one["name"] for one in answer["results"]] == [name for name, _ in files]
    alone = client().post("/v1/focus", content=photo_bytes, headers=JPEG).json()
    for place in (0, 3):
        found = answer["results"][place]["answer"]
        assert found["summary"]["in_focus_fraction"] == pytest.approx(alone["summary"]["in_focus_fraction"])
    reasons = [one["error"] and one["error"]["reason"] for one in answer["results"]]
    assert reasons == [None, "truncated", "not_an_image", None]
    assert answer["failed"] == 2
    assert counted.reasons == {"truncated": 1, "not_an_image": 1}
    assert counted.requests["/v1/batch", 200] == 1


def test_the_model_is_told_with_its_card_and_the_limits(client: Client, here: Any) -> None:
    answer = client({"limits": {"max_photos": 3}}, keys=("a key of some length",)).get(
        "/v1/model", headers={"x-api-key": "a key of some length"}
    )
    model = answer.json()
    assert model["fingerprint"] == here.detector.card.fingerprint
    assert model["card"]["parameters"] == here.detector.card.parameters
    assert model["limits"]["max_photos"] == 3
    assert model["limits"]["needs_key"] is True
    assert model["refused"] is None
