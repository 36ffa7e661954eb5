"""Keywords of dbd_ray in an XMP file, among those of the user."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from dbd_ray.errors import SidecarError
from dbd_ray.library.xmp_changes import Changes
from dbd_ray.library.xmp_places import ABOUT, RDF, Element, Property

KEYWORD_PREFIX = "focus:"
"""How all keywords of dbd_ray begin: by it those that a photo no longer has are told from the user's."""

_DC = "http://purl.org/dc/elements/1.1/"
_SUBJECT = f"{_DC} subject"
_LISTS = frozenset(f"{RDF} {name}" for name in ("Bag", "Seq", "Alt"))
# programs copy keywords there, and some read them from there alone
_COPIES = (
    "http://www.digikam.org/ns/1.0/ TagsList",
    "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject",
    "http://ns.microsoft.com/photo/1.0/ LastKeywordXMP",
)


def change_keywords(changes: Changes, found: Sequence[Property], keywords: Sequence[str]) -> None:
    """Have these keywords of ours in the file and no others of ours, wherever ours are.

    Args:
        changes: Where the changes are collected.
        found: All properties of the file.
        keywords: The keywords, each once.

    Raises:
        SidecarError: The keywords of the file are no list.
    """
    subjects = [each.place for each in found if each.name == _SUBJECT]
    if not all(isinstance(place, Element) and _is_list(place) for place in subjects):
        raise SidecarError(
            "its keywords (dc:subject) are no list: save it in a photo program, or run again without keywords"
        )
    for each in found:
        if each.name == _SUBJECT:
            _change_list(changes, each, keywords if each.place is subjects[0] else ())
        elif each.name in _COPIES and _ours(each):
            _change_list(changes, each, keywords)
    if keywords and not subjects:
        entries = "".join(f"<rdf:li>{escape(keyword)}</rdf:li>" for keyword in keywords)
        changes.add_description(_DC, "dc", [f"<dc:subject><rdf:Bag>{entries}</rdf:Bag></dc:subject>"])


def _is_list(place: Element) -> bool:
    return [child.name in _LISTS for child in place.children] == [True] or place.text == ""


def _ours(listed: Property) -> list[Element]:
    entries = listed.place.entries if isinstance(listed.place, Element) else []
    return [entry for entry in entries if (entry.text or "").startswith(KEYWORD_PREFIX)]


def _change_list(changes: Changes, listed: Property, keywords: Sequence[str]) -> None:
    place, ours = listed.place, _ours(listed)
    assert isinstance(place, Element)
    if ours and not keywords and len(ours) == len(place.entries):  # readers stumble over empty lists
        changes.cut(listed.owner if _is_alone(listed) else place)
        return
    first = {entry.text: entry for entry in reversed(ours)}
    surplus = [entry for entry in ours if entry.text not in keywords or first[entry.text] is not entry]
    missing = [keyword for keyword in keywords if keyword not in first]
    for entry, keyword in zip(surplus, missing, strict=False):
        changes.set_text(entry, keyword)
    for entry in surplus[len(missing) :]:
        changes.cut(entry)
    added = missing[len(surplus) :]
    if added and place.children:
        tag = f"{place.children[0].tag.removesuffix(place.children[0].name.split(' ')[1])}li"
        changes.append(place.children[0], [f"<{tag}>{escape(keyword)}</{tag}>" for keyword in added])
    elif added:
        changes.add_list(place, added)


def _is_alone(listed: Property) -> bool:
    owner = listed.owner
    others = [each for each in owner.attributes if each.name not in ABOUT]
    return not (others or owner.mixed or len(owner.children) > 1 or "".join(owner.texts).strip())
