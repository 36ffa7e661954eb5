"""Changes to the text of an XMP file: collected by place, made at once, and nothing beside them is touched."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from dbd_ray.library.xmp_places import RDF, Attribute, Element, Xmp

_WHITE = b" \t\r\n"


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


class Changes:
    """Changes that are to be made to an XMP file; true if there are any."""

    def __init__(self, xmp: Xmp) -> None:
        self._xmp = xmp
        self._edits: list[_Edit] = []
        self._descriptions: list[str] = []
        self._line = "\r\n" if b"\r\n" in xmp.text else "\n"

    def __bool__(self) -> bool:
        return bool(self._edits or self._descriptions)

    def set_text(self, place: Attribute | Element, value: str) -> None:
        """Give an attribute or element another value."""
        if isinstance(place, Attribute):
            quote = chr(self._xmp.text[place.quoted])
            escaped = escape(value, {'"': "&quot;", "'": "&apos;"})
            self._edits.append(_Edit(place.quoted, place.end, f"{quote}{escaped}{quote}"))
        else:
            self._fill(place, escape(value))

    def cut(self, place: Attribute | Element) -> None:
        """Take an attribute or element away, with the white space before it."""
        start = place.start if isinstance(place, Attribute) else place.start - len(self._space_before(place.start))
        self._edits.append(_Edit(start, place.end, ""))

    def append(self, parent: Element, children: Sequence[str]) -> None:
        """Put elements behind the last one in another element, each on a line of its own if that is."""
        space = self._space_within(parent)
        text = "".join(f"{space}{child}" for child in children)
        if parent.children:
            end = parent.children[-1].end
            self._edits.append(_Edit(end, end, text))
        elif parent.close == parent.inside:
            self._fill(parent, text + self._space_before(parent.start))
        else:  # white space and comments, perhaps
            self._edits.append(_Edit(parent.inside, parent.inside, text))

    def add_description(self, namespace: str, prefix: str, lines: Sequence[str]) -> None:
        """Put an rdf:Description of one namespace behind all others, each line being an element in it."""
        self._descriptions.append(self._description(namespace, prefix, lines, self._space_within(self._xmp.rdf)))

    def replace_description(self, old: Element, namespace: str, prefix: str, lines: Sequence[str]) -> None:
        """Put such an rdf:Description in the place of an old one."""
        text = self._description(namespace, prefix, lines, self._space_before(old.start))
        self._edits.append(_Edit(old.start, old.end, text))

    def add_list(self, parent: Element, entries: Sequence[str]) -> None:
        """Put a list into an element that has none."""
        listed = "".join(f"<rdf:li>{escape(entry)}</rdf:li>" for entry in entries)
        self._fill(parent, f"<rdf:Bag{self._rdf_named()}>{listed}</rdf:Bag>")

    def made(self) -> bytes:
        """Give the file with all changes, in its encoding."""
        if self._descriptions:
            self.append(self._xmp.rdf, self._descriptions)
            self._descriptions = []
        pieces, position = [], 0
        for edit in sorted(self._edits, key=lambda edit: edit[:2]):
            pieces += [self._xmp.text[position : edit.start], edit.text.encode()]
            position = edit.end
        text = b"".join([*pieces, self._xmp.text[position:]])
        return self._xmp.mark + text.decode().encode(self._xmp.codec)

    def _fill(self, element: Element, text: str) -> None:
        if element.empty:
            self._edits.append(_Edit(element.inside - len("/>"), element.inside, f">{text}</{element.tag}>"))
        else:
            self._edits.append(_Edit(element.inside, element.close, text))

    def _description(self, namespace: str, prefix: str, lines: Sequence[str], space: str) -> str:
        start = f"{self._line}{space.splitlines()[-1] if space.splitlines() else ''}"
        names = f'{self._rdf_named()} rdf:about={self._xmp.about()}{start}  xmlns:{prefix}="{namespace}"'
        inner = "".join(f"{start} {line}" for line in lines)
        return f"<rdf:Description{names}>{inner}{start}</rdf:Description>"

    def _rdf_named(self) -> str:
        return "" if self._xmp.rdf.tag.startswith("rdf:") else f' xmlns:rdf="{RDF}"'

    def _space_within(self, parent: Element) -> str:
        if parent.children:
            return self._space_before(parent.children[-1].start)
        around = self._space_before(parent.start)
        return f"{around if self._line in around else self._line} "

    def _space_before(self, position: int) -> str:
        start = position
        while start and self._xmp.text[start - 1] in _WHITE:
            start -= 1
        return self._xmp.text[start:position].decode()
