"""The page of the endpoint with many photos: their shares, their order, and all results at once."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from dbd_ray.images import decode_photo
from dbd_ray.names import RESULT_SUFFIXES

pytestmark = [pytest.mark.browser, pytest.mark.ray]

# before there are photos the strip is hidden
_CHOOSE = "(select, value) => { select.value = value; select.dispatchEvent(new Event('change')); }"
OpenPage = Callable[..., Page]
Drop = Callable[..., None]


@pytest.fixture(scope="module")
def named(cuhk: Path) -> dict[str, bytes]:
    """Photos by names that are neither in the order of the alphabet nor in that of the shares, one of them broken."""
    photos = [photo.read_bytes() for photo in sorted((cuhk / "image").glob("*.jpg"))[:4]]
    return dict(zip(["c2.jpg", "a-broken.jpg", "c10.jpg", "b.jpg"], [photos[0], b"\xff\xd8", *photos[2:]], strict=True))


def _names(page: Page) -> list[str]:
    labels = page.locator(".thumb").evaluate_all("options => options.map(one => one.ariaLabel)")
    return [label.split(": ")[0] for label in labels]


def _shares(page: Page) -> dict[str, float]:
    labels = page.locator(".thumb[data-state=done]").evaluate_all("options => options.map(one => one.ariaLabel)")
    pairs = (label.removesuffix(" % in focus").rsplit(": ", 1) for label in labels)
    return {name: float(share) for name, share in pairs}


def test_thumbnails_say_the_share_in_focus(open_page: OpenPage, drop: Drop, named: dict[str, bytes]) -> None:
    page = open_page()
    drop(page, named)
    expect(page.locator("#progress")).to_have_text("3 of 4 done, 1 failed")
    for name, share in _shares(page).items():
        tag = page.get_by_role("option", name=re.compile(f"^{name}")).locator(".tag")
        expect(tag).to_have_text(re.compile(r"^\d+ %$"))
        assert abs(int(tag.inner_text().removesuffix(" %")) - share) <= 0.55  # the label is rounded as well
        expect(tag).to_be_visible()
        expect(tag).to_have_css("background-color", "rgba(0, 0, 0, 0.74)")  # legible on any photo
    expect(page.locator(".thumb[data-state=failed] .tag")).to_be_hidden()


def test_the_strip_is_sorted_and_arrows_go_through_the_order_shown(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes]
) -> None:
    page = open_page()
    drop(page, named)
    expect(page.locator("#progress")).to_have_text("3 of 4 done, 1 failed")
    assert _names(page) == list(named)
    page.get_by_role("option", name=re.compile("^c10.jpg")).click()
    order = page.get_by_label("Sort by")
    order.focus()
    page.keyboard.press("ArrowDown")  # to Name
    expect(page.locator(".thumb").last).to_have_attribute("data-state", "failed")
    assert _names(page) == ["b.jpg", "c2.jpg", "c10.jpg", "a-broken.jpg"]
    expect(order).to_be_focused()
    expect(page.locator(".thumb[aria-selected=true]")).to_have_attribute("aria-label", re.compile("^c10.jpg"))

    page.keyboard.press("ArrowDown")  # to Most in focus
    shares = _shares(page)
    by_share = sorted(shares, key=lambda name: -shares[name])
    assert by_share not in (["b.jpg", "c2.jpg", "c10.jpg"], ["c2.jpg", "c10.jpg", "b.jpg"]), "the photos tell nothing"
    assert _names(page) == [*by_share, "a-broken.jpg"]
    page.locator(".thumb").first.click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel .name")).to_have_text(by_share[1])
    page.keyboard.press("Delete")
    expect(page.locator("#panel .name")).to_have_text(by_share[2])
    expect(page.get_by_role("option", name=re.compile(f"^{by_share[2]}"))).to_be_focused()


def test_a_photo_that_moves_to_its_place_keeps_the_focus(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes]
) -> None:
    held: list[Route] = []

    def answer_second(route: Route) -> None:
        held.append(route)
        if len(held) == 2:
            second = route.request.frame.page.locator(".thumb").last
            second.focus()
            route.continue_()

    page = open_page(routes=lambda page: page.route("**/v1/focus*", answer_second))
    page.get_by_label("Sort by").evaluate(_CHOOSE, "share")
    drop(page, {name: named[name] for name in ("c2.jpg", "b.jpg")})
    expect(page.locator(".thumb").first).to_have_attribute("data-state", "done")
    expect(page.locator(".thumb").first).to_be_focused()
    held[0].continue_()
    expect(page.locator("#progress")).to_have_text("2 of 2 done")


def test_a_photo_that_is_taken_out_while_it_waits_is_not_sent(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes]
) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/focus" in request.url else None)
    # the page decodes a photo before it sends it
    page.evaluate(
        """() => {
            const decode = createImageBitmap;
            const allowed = new Promise((resolve) => { window.allowDecoding = resolve; });
            window.createImageBitmap = async (file) => { await allowed; return decode(file); };
        }"""
    )
    drop(page, {"c2.jpg": named["c2.jpg"], "b.jpg": named["b.jpg"]})
    page.locator(".thumb").first.focus()
    page.keyboard.press("Delete")
    page.evaluate("allowDecoding()")
    expect(page.locator("#progress")).to_have_text("1 of 1 done")
    assert len(sent) == 1


def _saved(page: Page, button: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(waiting.value.path()).read_bytes()


def _rows(table: bytes) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in csv.DictReader(io.StringIO(table.decode("utf-8"), newline=""))}


def test_one_zip_holds_the_results_of_all_photos(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes], camera_files: Path
) -> None:
    page = open_page()
    expect(page.locator("#tools")).to_be_hidden()
    heic = (camera_files / "pillow_heif__L_exif_xmp_iptc.heic").read_bytes()
    drop(page, {"Ärger, 東京.jpg": named["b.jpg"], "c2.jpg": named["c2.jpg"], "phone.heic": heic, "a.jpg": b"\xff\xd8"})
    drop(page, {"C2.jpg": named["c10.jpg"]})
    expect(page.locator("#progress")).to_have_text("4 of 5 done, 1 failed")
    page.get_by_label("Threshold").fill("30")
    with zipfile.ZipFile(io.BytesIO(_saved(page, "Download all"))) as archive:
        assert archive.testzip() is None
        results = {name: archive.read(name) for name in archive.namelist()}
    photos = {
        "Ärger, 東京.jpg": named["b.jpg"],
        "c2.jpg": named["c2.jpg"],
        "C2 (2).jpg": named["c10.jpg"],  # else it would lie upon c2.jpg where both are one name
        "phone.heic": heic,
    }
    endings = [RESULT_SUFFIXES["focus"], RESULT_SUFFIXES["mask"], RESULT_SUFFIXES["json"]]
    assert sorted(results) == sorted([f"{name}{end}" for name in photos for end in endings] + ["index.csv"])
    rows = _rows(results["index.csv"])
    assert rows.keys() == {f"./{name}" for name in [*photos, "a.jpg"]}
    for name, data in photos.items():
        focus = np.asarray(Image.open(io.BytesIO(results[f"{name}.focus.png"])))
        mask = np.asarray(Image.open(io.BytesIO(results[f"{name}.mask.png"])))
        told = json.loads(results[f"{name}.json"])
        assert focus.shape == decode_photo(data).shape[:2] == (told["height"], told["width"])
        np.testing.assert_array_equal(mask, np.where(focus >= 0.3 * 255, 255, 0))
        assert (told["name"], told["mask"]["threshold"]) == (name, 0.3)
        row = rows[f"./{name}"]
        assert (row["status"], row["focus_kind"]) == ("ok", told["summary"]["focus_kind"])
        assert float(row["in_focus_fraction"]) == pytest.approx(told["summary"]["in_focus_fraction"], abs=5e-5)
        assert float(row["mask_fraction"]) == pytest.approx((mask == 255).mean(), abs=5e-5)
    assert rows["./a.jpg"]["status"] == "error"


def test_the_table_has_every_photo_by_the_names_of_predict(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes]
) -> None:
    held: list[Route] = []

    def hold_third(route: Route) -> None:
        held.append(route)
        if len(held) < 3:
            route.continue_()

    page = open_page(routes=lambda page: page.route("**/v1/focus*", hold_third))
    odd = '=1+1,"x".jpg'
    drop(page, {odd: named["b.jpg"], "cut.jpg": b"\xff\xd8", "late.jpg": named["c2.jpg"]})
    expect(page.locator("#progress")).to_have_text("1 of 3 done, 1 failed")
    table = _saved(page, "CSV")
    head = "path,status,focus_kind,in_focus_fraction,focus_confidence,mask_fraction,message"
    assert table.decode().splitlines()[0] == head
    rows = _rows(table)
    assert [*rows] == ["./=1+1,_x_.jpg", "./cut.jpg", "./late.jpg"], "no cell begins a formula"
    assert [row["status"] for row in rows.values()] == ["ok", "error", "skipped"]
    assert float(rows["./=1+1,_x_.jpg"]["focus_confidence"]) > 0.5
    assert rows["./cut.jpg"]["message"] and rows["./late.jpg"]["message"]
    assert rows["./cut.jpg"]["focus_kind"] == ""


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_two_hundred_photos_scroll_in_their_strip_alone(
    open_page: OpenPage, drop: Drop, named: dict[str, bytes], width: int, height: int, colours: str
) -> None:
    answers: list[dict[str, object]] = []

    def answer_once(route: Route) -> None:
        if not answers:
            # the browser does not show intercepted files
            answers.append(route.fetch(post_data=named["b.jpg"]).json())
        route.fulfill(json=answers[0])

    page = open_page(
        viewport={"width": width, "height": height},
        color_scheme=colours,
        routes=lambda page: page.route("**/v1/focus*", answer_once),
    )
    drop(page, {f"{number}.jpg": named["b.jpg"] for number in range(200)})
    expect(page.locator("#progress")).to_have_text("200 of 200 done")
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    strip = page.locator("#strip")
    assert strip.evaluate("strip => strip.scrollWidth > strip.clientWidth")
    add = page.locator("label[for=picker]").bounding_box()
    page.locator(".thumb").first.focus()
    page.keyboard.press("End")
    expect(page.locator(".thumb").last).to_be_in_viewport()
    for part in ("#tools select", "#tools button >> nth=0", "#tools button >> nth=1"):
        last = page.locator(part).bounding_box()
        assert last and add and last["x"] >= 0 and last["x"] + last["width"] <= width
        apart = last["x"] + last["width"] <= add["x"] or last["y"] >= add["y"] + add["height"]
        assert apart or last["y"] + last["height"] <= add["y"], f"{part} lies under the button for more photos"
