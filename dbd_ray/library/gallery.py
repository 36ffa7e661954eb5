"""The gallery of a photo library: a folder of pages that a browser opens from disk, without a server or a network."""

import re
from importlib.resources import files

import pyarrow as pa

from dbd_ray.errors import ConfigError
from dbd_ray.library.gallery_bursts import bursts_pages
from dbd_ray.library.gallery_data import in_folder_order, index_file, page_files
from dbd_ray.library.gallery_summary import summarize
from dbd_ray.readable import readable
from dbd_ray.storage import list_folder, open_storage, replace_bytes
from dbd_ray.templates import open_templates

GALLERY = "gallery"
"""Name of the gallery's folder in the folder of results."""

_DATA, _CLAIM = "data", ".dbd-ray"
_DATA_NAME = re.compile(r"(index|page-\d{5,})\.[0-9a-f]{12}\.js")
_BURSTS_NAME = re.compile(r"bursts(-\d+)?\.html")
# in the order in which the page loads them; modules would be neater, but browsers refuse them on file:// addresses
_SCRIPTS = ("data.js", "words.js", "query.js", "grid.js", "controls.js", "viewer.js", "gallery.js")
_ASSETS = (*_SCRIPTS, "gallery.css", "summary.css", "bursts.css", "icon.svg")


def check_gallery(out: str) -> bool:
    """See that the gallery's folder is ours, or is not there yet.

    Returns:
        Whether it is ours already.

    Raises:
        ConfigError: There are files of others in it.
        DatasetError: It cannot be listed.
    """
    storage, path = open_storage(f"{out}/{GALLERY}")
    names = [name for name, _ in list_folder(storage, path) or []]
    if names and _CLAIM not in names:
        raise ConfigError(f"{out}/{GALLERY}: is no gallery of dbd_ray; choose another folder for the results")
    return _CLAIM in names


def claim_gallery(out: str) -> None:
    """Make the gallery's folder, whose files are replaced without asking from then on.

    Raises:
        ConfigError: It has files of others, or cannot be made.
        DatasetError: It cannot be listed.
    """
    if check_gallery(out):
        return
    try:
        replace_bytes(f"{out}/{GALLERY}/{_CLAIM}", b"")
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"{out}/{GALLERY}: cannot be made a folder ({why}); choose another") from None


def has_gallery(out: str) -> bool:
    """Tell whether the pages are there."""
    storage, path = open_storage(f"{out}/{GALLERY}")
    return bool(storage.exists(f"{path}/index.html"))


def write_gallery(table: pa.Table, out: str, *, title: str) -> str:
    """Write the pages of a library: `index.html`, where photos are looked through, `summary.html` and `bursts.html`.

    Thumbnails are not written here. The pages look for them at `thumbs/<hh>/<content_hash>.jpg` and
    `thumbs/<hh>/<content_hash>.overlay.jpg`, where hh are the first two digits, and show a placeholder where none is.
    Every file is at any time either the old or the new one, and the data that a page was written for stay until its
    successor is there: whoever opens it in between sees one of both galleries, whole. Equal tables give equal bytes.

    Args:
        table: Rows of `LIBRARY_SCHEMA`, in any order.
        out: Folder or URI of results; the pages go to `gallery` in it, which is made when absent.
        title: Heading of the pages.

    Returns:
        Path or URI of index.html.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = f"{out}/{GALLERY}"
    rows = in_folder_order(table)
    pages = []
    for page in page_files(rows):
        replace_bytes(f"{folder}/{_DATA}/{page.name}", page.content)
        pages.append(page.name)
    index = index_file(rows, pages)
    replace_bytes(f"{folder}/{_DATA}/{index.name}", index.content)
    for name in _ASSETS:
        replace_bytes(f"{folder}/{name}", (files("dbd_ray.library") / "web" / name).read_bytes())
    environment = open_templates("dbd_ray.library", "web")
    heading = readable(title)
    bursts = environment.get_template("bursts.html.j2")
    texts = {page.name: bursts.render(title=heading, page=page) for page in bursts_pages(rows)}
    burst_names = set(texts)
    texts |= {
        "summary.html": environment.get_template("summary.html.j2").render(title=heading, summary=summarize(rows)),
        "index.html": environment.get_template("index.html.j2").render(
            title=heading, index=f"{_DATA}/{index.name}", scripts=_SCRIPTS
        ),
    }
    for name, text in texts.items():
        replace_bytes(f"{folder}/{name}", text.encode(), sync=True)
    _remove_stale(f"{folder}/{_DATA}", _DATA_NAME, {index.name, *pages})
    _remove_stale(folder, _BURSTS_NAME, burst_names)
    return f"{folder}/index.html"


def _remove_stale(folder: str, ours: re.Pattern[str], current: set[str]) -> None:
    storage, path = open_storage(folder)
    for name, _ in list_folder(storage, path) or []:
        if ours.fullmatch(name) and name not in current:
            storage.rm_file(f"{path}/{name}")
