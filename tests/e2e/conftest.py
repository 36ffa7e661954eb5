"""A real browser, and pages that report what they should not do."""

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

PATIENCE_MS = 60_000  # photos are looked at within this, also where others use the machine

_MAKE_TRANSFER = """files => {
    const transfer = new DataTransfer();
    for (const { name, type, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    return transfer;
}"""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium: the system's own, or else the one that `playwright install chromium` gives.

    Playwright leaves its event loop running in this thread until it is closed, and `asyncio.run` refuses to work
    beside one: tests of other files must not come while it is open.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    # Chromium's sandbox refuses to run for root, as who containers run tests
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=args)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: "Browser", endpoint: str) -> "Iterator[Callable[..., Page]]":
    """Open the endpoint's page; at the end nothing may have gone to other hosts, and the console is clean."""
    contexts, foreign, complaints = [], [], []

    def note_request(request: "Request") -> None:
        if not request.url.startswith((endpoint, "blob:", "data:")):
            foreign.append(request.url)

    def note_message(message: "ConsoleMessage") -> None:
        # the browser's own remark on an answer that is not 200, which the page handles
        refused = message.text.startswith("Failed to load resource") and "/v1/" in message.location["url"]
        if message.type in ("error", "warning") and not refused:
            complaints.append(message.text)

    def open_one(*, routes: "Callable[[Page], None] | None" = None, **options: object) -> "Page":
        settings: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce", **options}
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", note_request)
        page.on("console", note_message)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if routes:
            routes(page)
        page.goto(endpoint)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert foreign == []
    assert complaints == []


@pytest.fixture(scope="session")
def drop() -> Callable[..., None]:
    """Drop files, given as bytes by name, on a page."""

    def drop_files(page: "Page", files: dict[str, bytes], kind: str = "image/jpeg") -> None:
        given = [{"name": name, "type": kind, "base64": base64.b64encode(files[name]).decode()} for name in files]
        transfer = page.evaluate_handle(_MAKE_TRANSFER, given)
        for event in ("dragenter", "dragover", "drop"):
            page.dispatch_event("main", event, {"dataTransfer": transfer})

    return drop_files


@pytest.fixture(scope="session")
def photos(cuhk: Path) -> list[Path]:
    """Two photos that are in focus in part."""
    return sorted((cuhk / "image").glob("*.jpg"))[:2]
