"""The page of the endpoint, in a real browser, on the real application."""

import base64
import io
import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from dbd_ray import Detector
from dbd_ray.images import decode_photo
from dbd_ray.images.encode import encode_depth

pytestmark = [pytest.mark.browser, pytest.mark.ray]

OpenPage = Callable[..., Page]
Drop = Callable[..., None]
# canvases are drawn with the next frame
_PIXELS = "canvas => new Promise(requestAnimationFrame).then(() => canvas.toDataURL())"


def _give(page: Page, *photos: Path) -> None:
    page.locator("#picker").set_input_files(photos)
    _wait_until_done(page, len(photos))


def _wait_until_done(page: Page, count: int) -> None:
    expect(page.locator(".thumb[data-state=done]")).to_have_count(count)
    expect(page.get_by_role("button", name="Mask")).to_be_enabled()


def _levels_from(endpoint: str, photo: Path) -> np.ndarray:
    headers = {"Content-Type": "image/jpeg"}
    request = urllib.request.Request(f"{endpoint}/v1/focus?include=focus", photo.read_bytes(), headers)
    with urllib.request.urlopen(request) as answer:
        focus = json.load(answer)["pictures"]["focus"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(focus))))


def _picture_on(canvas: Locator) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(canvas.evaluate(_PIXELS).partition(",")[2]))).convert("RGB")


def _saved(page: Page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_dropped_photos_get_maps_and_a_broken_file_harms_only_itself(
    open_page: OpenPage, drop: Drop, photos: list[Path]
) -> None:
    page = open_page()
    first, second = (photo.read_bytes() for photo in photos)
    drop(page, {"first.jpg": first, "broken.jpg": first[:2000], "second.jpg": second})
    _wait_until_done(page, 2)
    broken = page.get_by_role("option", name=re.compile("^broken.jpg"))
    expect(broken).to_have_attribute("data-state", "failed")
    expect(page.locator("#progress")).to_have_text("2 of 3 done, 1 failed")
    expect(page.locator("#alert")).to_contain_text("broken.jpg: This photo is cut short")

    broken.click()
    expect(page.get_by_role("heading", name="This photo is cut short")).to_be_visible()
    expect(page.locator(".trouble")).to_contain_text("truncated")
    for name in ("first.jpg", "second.jpg"):
        page.get_by_role("option", name=re.compile(name)).click()
        expect(page.locator(".frame.mapped")).to_be_visible()
        expect(page.locator(".verdict")).to_contain_text("A part of the photo is in focus")
        expect(page.locator(".trouble")).to_be_hidden()


def test_the_share_follows_the_threshold_as_the_map_says(
    open_page: OpenPage, endpoint: str, photos: list[Path]
) -> None:
    page = open_page()
    _give(page, photos[0])
    levels = _levels_from(endpoint, photos[0])
    slider, outline = page.get_by_label("Threshold"), page.locator(".over canvas").last
    drawn, shares = [], []
    for key in ("Home", "ArrowRight", "PageUp", "End"):
        slider.press(key)
        threshold = int(slider.input_value()) / 100
        share = np.mean(levels >= threshold * 255)
        expect(page.locator(".share output")).to_have_text(f"{100 * share:.1f}")
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^{slider.input_value()} %"))
        shares.append(share)
        drawn.append(outline.evaluate(_PIXELS))
    assert shares == sorted(shares, reverse=True)
    assert len(set(drawn)) == 4


def test_opacity_and_looks_by_keyboard(open_page: OpenPage, photos: list[Path]) -> None:
    page = open_page()
    _give(page, photos[0])
    tint = page.locator(".tint")
    page.get_by_label("Opacity").press("End")
    expect(tint).to_have_css("opacity", "1")
    page.get_by_label("Opacity").press("ArrowLeft")
    expect(tint).to_have_css("opacity", "0.99")
    in_colours = tint.evaluate(_PIXELS)
    page.get_by_role("radio", name="Focus map").press("ArrowRight")
    expect(page.get_by_role("radio", name="Mask")).to_be_checked()
    assert tint.evaluate(_PIXELS) != in_colours
    expect(page.get_by_role("radio", name="Depth")).to_be_hidden()


def test_the_mask_is_the_detectors(open_page: OpenPage, endpoint: str, photos: list[Path]) -> None:
    page = open_page()
    _give(page, photos[0])
    page.get_by_label("Threshold").fill("30")
    name, data = _saved(page, "Mask")
    assert name == f"{photos[0].stem}-mask.png"
    mask = np.asarray(Image.open(io.BytesIO(data)))
    assert mask.ndim == 2
    assert set(np.unique(mask)) <= {0, 255}
    least = 0.3 * 255
    np.testing.assert_array_equal(mask == 255, _levels_from(endpoint, photos[0]) >= least)
    found = Detector.load("lite").detect([decode_photo(photos[0].read_bytes())])[0]
    # at the threshold the last bit of a level may differ between machines
    assert np.mean((mask == 255) != (np.rint(found.focus * 255) >= least)) < 0.005


def test_overlay_and_summary_can_be_kept(open_page: OpenPage, photos: list[Path]) -> None:
    page = open_page()
    _give(page, photos[0])
    photo = decode_photo(photos[0].read_bytes())
    name, data = _saved(page, "Overlay")
    overlay = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert name == f"{photos[0].stem}-overlay.png"
    assert overlay.shape == photo.shape
    assert not np.array_equal(overlay, photo)

    page.get_by_label("Threshold").fill("40")
    name, data = _saved(page, "JSON")
    told = json.loads(data)
    assert name == f"{photos[0].stem}-focus.json"
    assert (told["name"], told["height"], told["width"]) == (photos[0].name, *photo.shape[:2])
    assert told["mask"]["threshold"] == 0.4
    assert told["mask"]["in_focus_fraction"] >= told["summary"]["in_focus_fraction"]


def test_swipe_and_strip_work_by_keyboard(open_page: OpenPage, photos: list[Path]) -> None:
    page = open_page()
    _give(page, *photos)
    swipe = page.get_by_role("slider", name="Swipe between photo and map")
    over = page.locator(".over")
    for key, position in {"Home": 0, "ArrowRight": 2, "PageUp": 12, "End": 100}.items():
        swipe.press(key)
        expect(swipe).to_have_attribute("aria-valuenow", str(position))
        expect(over).to_have_css("clip-path", f"inset(0px 0px 0px {position}%)")

    options = page.locator("#strip").get_by_role("option")
    options.first.focus()
    page.keyboard.press("ArrowRight")
    expect(options.nth(1)).to_be_focused()
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel .name")).to_have_text(photos[1].name)
    page.keyboard.press("Delete")
    expect(options).to_have_count(1)
    expect(options.first).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_text("They go to this server only and are not kept.")).to_be_visible()


def test_a_key_is_asked_for_and_kept_for_the_session(open_page: OpenPage, photos: list[Path]) -> None:
    def ask_for_key(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer the-right-one":
            route.continue_()
        else:
            route.fulfill(status=401, json={"reason": "unauthorized", "message": "give a key", "request_id": "1"})

    page = open_page(routes=lambda page: page.route("**/v1/**", ask_for_key))
    field = page.get_by_label("This server asks for a key")
    expect(field).to_be_focused()
    page.locator("#picker").set_input_files(photos)
    page.keyboard.type("a-wrong-one\n")
    expect(page.get_by_text("The server did not accept this key.")).to_be_visible()
    field.fill("the-right-one")
    field.press("Enter")
    _wait_until_done(page, 2)
    expect(field).to_be_hidden()
    page.reload()
    expect(page.locator("header [data-model=name]")).to_have_text("lite")
    assert page.evaluate("localStorage.length") == 0


def test_a_busy_server_is_asked_again(open_page: OpenPage, photos: list[Path]) -> None:
    answers = [429, 503]

    def refuse(route: Route) -> None:
        if answers:
            route.fulfill(status=answers.pop(), body="come back", headers={"Retry-After": "0"})
        else:
            route.continue_()

    page = open_page(routes=lambda page: page.route("**/v1/focus*", refuse))
    _give(page, photos[0])
    assert answers == []


def test_a_photo_that_the_browser_can_show_is_asked_for_without_a_preview(
    open_page: OpenPage, photos: list[Path]
) -> None:
    page = open_page()
    with page.expect_request("**/v1/focus?*") as asked:
        _give(page, photos[0])
    assert "preview" not in asked.value.url


def test_a_photo_that_the_browser_cannot_show_is_seen_as_the_servers_preview(
    open_page: OpenPage, drop: Drop, photos: list[Path]
) -> None:
    page = open_page()
    stream = io.BytesIO()
    Image.open(photos[0]).save(stream, "TIFF")
    with page.expect_request("**/v1/focus?*") as asked:
        drop(page, {"scan.tif": stream.getvalue()}, kind="image/tiff")
    assert "preview=" in asked.value.url
    _wait_until_done(page, 1)
    expect(page.get_by_text("Your browser cannot show this kind of file, so you see a preview")).to_be_visible()
    expect(page.locator(".frame.mapped")).to_be_visible()
    for canvas in page.locator(".thumb canvas").all() + page.locator(".frame > canvas").all():
        shown = _picture_on(canvas)
        photo = np.asarray(Image.open(photos[0]).resize(shown.size, Image.Resampling.BILINEAR), np.float32)
        assert np.abs(np.asarray(shown, np.float32) - photo).mean() < 8
    assert Image.open(io.BytesIO(_saved(page, "Mask")[1])).size == Image.open(photos[0]).size


def test_depth_is_shown_where_the_model_has_it(open_page: OpenPage, photos: list[Path]) -> None:
    def add_depth(route: Route) -> None:
        if "/v1/model" in route.request.url:
            route.fulfill(json=route.fetch().json() | {"has_depth": True})
            return
        without = route.request.url.replace("&include=depth", "")
        assert without != route.request.url
        # the browser does not show intercepted files
        told = route.fetch(url=without, post_data=photos[0].read_bytes()).json()
        ramp = np.tile(np.linspace(0, 1, told["width"], dtype=np.float32), (told["height"], 1))
        told["pictures"]["depth"] = base64.b64encode(encode_depth(ramp)).decode()
        route.fulfill(json=told)

    page = open_page(routes=lambda page: page.route("**/v1/**", add_depth))
    _give(page, photos[0])
    in_focus = (tint := page.locator(".tint")).evaluate(_PIXELS)
    page.locator("#panel").get_by_text("Depth").click()
    assert tint.evaluate(_PIXELS) != in_focus


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_nothing_scrolls_sideways(
    open_page: OpenPage, photos: list[Path], tmp_path: Path, width: int, height: int, colours: str
) -> None:
    page = open_page(viewport={"width": width, "height": height}, color_scheme=colours)

    def fits(moment: str) -> bool:
        page.screenshot(path=tmp_path / f"{moment}-{width}-{colours}.png")
        return not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")

    assert fits("empty")
    _give(page, *photos)
    assert fits("photos")
    page.get_by_role("button", name="What it gets wrong").click()
    expect(page.get_by_role("heading", name="The model")).to_be_visible()
    assert fits("model")
