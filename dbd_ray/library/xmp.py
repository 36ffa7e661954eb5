"""What dbd_ray writes into XMP files: fields, keywords and stars, each in its place; all else is kept byte for byte."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from dbd_ray.errors import ConfigError, SidecarError
from dbd_ray.library.xmp_changes import Changes
from dbd_ray.library.xmp_keywords import KEYWORD_PREFIX, change_keywords
from dbd_ray.library.xmp_places import ABOUT, Element, Property, read_xmp

NAMESPACE = "https://dbd-ray.dev/ns/focus/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_STARS = f"{_XMP} Rating"
_OTHER_STARS = ("http://ns.microsoft.com/photo/1.0/ Rating", "http://ns.acdsee.com/iptc/1.0/ rating")
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NEW = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="dbd_ray">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n </rdf:RDF>\n</x:xmpmeta>\n'
)


class FocusFields(NamedTuple):
    """What the detector found in a photo; None for what is not known.

    Attributes:
        kind: all_in_focus, partial or none_in_focus.
        in_focus_fraction: Share of the pixels that are sharp, 0-1.
        sharp_area: Left, top, right and bottom of what is sharp, px of the upright photo; None where nothing is.
        confidence: How sure the detector is, 0-1.
        sharpness: Of the sharp area, 0 or more.
        model: Name and fingerprint of the model.
    """

    kind: str | None = None
    in_focus_fraction: float | None = None
    sharp_area: tuple[int, int, int, int] | None = None
    confidence: float | None = None
    sharpness: float | None = None
    model: str | None = None


def merged(
    existing: bytes | None, fields: FocusFields, *, keywords: Sequence[str] | None = None, rating: int | None = None
) -> bytes:
    """Put what was found into an XMP file; the same once more changes no byte.

    Keywords take the place of ours that are there. Stars are given only to a photo without, and changed only where they
    are what we gave, which `dbd:GivenRating` says.

    Args:
        existing: The whole file; None where there is none.
        fields: What the detector found.
        keywords: Keywords of ours, each with `KEYWORD_PREFIX`; None leaves them as they are.
        rating: Stars 0-5, -1 for rejected; None leaves them as they are.

    Returns:
        The whole new file, in the encoding of the old one.

    Raises:
        ConfigError: A keyword lacks the prefix, or there are no such stars.
        SidecarError: The file is damaged, is no XMP, or its keywords are no list.
    """
    for keyword in keywords or ():
        if not keyword.startswith(KEYWORD_PREFIX) or keyword != _clean(keyword):
            raise ConfigError(f"keywords: {keyword!r} has to begin with {KEYWORD_PREFIX!r}, to be found again")
    if rating is not None and not -1 <= rating <= 5:
        raise ConfigError(f"rating: {rating} are no stars: give 0 to 5, or -1 for rejected")
    old = _NEW if existing is None else existing
    changes = _changes(old, fields, keywords, rating)
    if not changes:
        return old
    new = changes.made()
    try:  # a prefix may mean something else within an element, for instance
        understood = not _changes(new, fields, keywords, rating)
    except SidecarError:
        understood = False
    if not understood:
        raise SidecarError("it is written in a way that is not understood: save it in another program, and run again")
    return new


def _changes(content: bytes, fields: FocusFields, keywords: Sequence[str] | None, rating: int | None) -> Changes:
    xmp = read_xmp(content)
    found = list(xmp.properties())
    changes = Changes(xmp)
    given = _given_before(found)
    if rating is not None and _may_rate(found, given):
        given = str(rating)
        _change_stars(changes, found, given)
    _change_fields(changes, found, _texts(fields, given))
    if keywords is not None:
        change_keywords(changes, found, list(dict.fromkeys(keywords)))
    return changes


def _texts(fields: FocusFields, rating: str | None) -> dict[str, str]:
    numbers = (fields.in_focus_fraction, fields.confidence, fields.sharpness)
    fraction, confidence, sharpness = (None if n is None or not math.isfinite(n) else n for n in numbers)
    # names that no other namespace has: readers that ignore namespaces would show our model as the camera's
    texts = {
        "FocusKind": _clean(fields.kind or ""),
        "InFocusFraction": "" if fraction is None else f"{fraction:.4f}",
        "SharpArea": ",".join(map(str, fields.sharp_area or ())),
        "FocusConfidence": "" if confidence is None else f"{confidence:.4f}",
        "FocusSharpness": "" if sharpness is None else f"{sharpness:.6g}",
        "FocusModel": _clean(fields.model or ""),
        "GivenRating": rating or "",
    }
    return {name: text for name, text in texts.items() if text}


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", " ".join(text.split()))


def _change_fields(changes: Changes, found: list[Property], wanted: dict[str, str]) -> None:
    ours = [each for each in found if _is_ours(each.name)]
    if sorted((each.name, each.value or "") for each in ours) == sorted(
        (f"{NAMESPACE} {name}", text) for name, text in wanted.items()
    ):
        return
    lines = [f"<dbd:{name}>{escape(text)}</dbd:{name}>" for name, text in wanted.items()]
    blocks = list({id(each.owner): each.owner for each in ours if _holds_nothing_else(each.owner)}.values())
    for each in ours:  # other programs gather the properties of all into one element
        if each.owner not in blocks:
            changes.cut(each.place)
    for block in blocks[1:] if lines else blocks:
        changes.cut(block)
    if lines and blocks:
        changes.replace_description(blocks[0], NAMESPACE, "dbd", lines)
    elif lines:
        changes.add_description(NAMESPACE, "dbd", lines)


def _is_ours(name: str) -> bool:
    return name.startswith(f"{NAMESPACE} ")


def _holds_nothing_else(owner: Element) -> bool:
    names = [each.name for each in owner.attributes] + [each.name for each in owner.children]
    others = [name for name in names if not (_is_ours(name) or name in ABOUT)]
    return not (others or owner.mixed or "".join(owner.texts).strip())


def _given_before(found: list[Property]) -> str | None:
    return next((each.value for each in found if each.name == f"{NAMESPACE} GivenRating" and each.value), None)


def _may_rate(found: list[Property], given: str | None) -> bool:
    present = [each.value for each in found if each.name == _STARS and each.value != ""]
    if given is not None:
        # stars that the user took away stay away
        return bool(present) and all(_number(value) == _number(given) is not None for value in present)
    return not present and not any(each.name in _OTHER_STARS and _number(each.value) for each in found)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _change_stars(changes: Changes, found: list[Property], stars: str) -> None:
    places = [each for each in found if each.name == _STARS]
    for each in places:
        if _number(each.value) != _number(stars):
            changes.set_text(each.place, stars)
    if not places:
        changes.add_description(_XMP, "xmp", [f"<xmp:Rating>{stars}</xmp:Rating>"])
