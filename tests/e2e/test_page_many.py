"""The page of the endpoint with many photos: their shares, their order, and all results at once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

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
    return {
        name: float(share) for name, share in (re.fullmatch(r"(.*): ([\d.]+) % in focus", x).groups() for x in labels)
    }


def test_thumbnails_say_the_share_in_focus(open_page: OpenPage, drop: Drop, named: dict[str, bytes]) -> None:
    page = open_page()
    drop(page, named)
    expect(page.locator("#progress")).to_have_text("3 of 4 done, 1 failed")
    for name, share in _shares(page).items():
        tag = page.get_by_role("option", name=re.compile(f"^{name}")).locator(".tag")
        expect(tag).to_have_text(f"{share:.0f} %")
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
