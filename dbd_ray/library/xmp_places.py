"""The properties of an XMP file and their places in its text, so that some can be changed and all else is kept."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from dbd_ray.errors import SidecarError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DAMAGED = "repair it in the program that wrote it, or move it away, and run again"

ABOUT = (f"{RDF} about", "about")
"""Names of the attribute that names the photo; old files have the second."""

_DESCRIPTION, _LI = f"{RDF} Description", f"{RDF} li"
_ROOT_NAMESPACE = "adobe:ns:meta/"  # the root's name differs between programs
_LEVELS = 5  # rdf:RDF, rdf:Description, property, list, entry; what is deeper is never ours
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DECLARED = re.compile(r"<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"']*)")
_START_TAG = re.compile(rb"<([^\s/>]+)(?:\s+[^\s=<>/]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*(/?)>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=<>/]+)\s*=\s*(\"[^\"]*\"|'[^']*')")


class Attribute(NamedTuple):
    """An attribute: its name as `namespace local`, its value, and the bytes of the value with quotes.

    Attributes:
        start: Where the white space before it begins.
        quoted: Where its opening quote is; the closing one is before `end`.
    """

    name: str
    value: str
    start: int
    quoted: int
    end: int


@dataclass(slots=True, eq=False)
class Element:
    """An element: its name as `namespace local`, and its places in the text.

    Attributes:
        tag: Name as written, with the prefix.
        inside: Where its start tag ends.
        close: Where its end tag begins; the same as `inside` if it has none (`empty`).
        mixed: It holds comments, instructions, or elements below the levels that are looked at.
    """

    name: str
    tag: str
    attributes: list[Attribute]
    start: int
    inside: int
    empty: bool
    close: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    mixed: bool = False

    @property
    def text(self) -> str | None:
        """Its text; None where it is more than text."""
        return None if self.children or self.mixed else "".join(self.texts).strip()

    @property
    def entries(self) -> list["Element"]:
        """The entries of the list in it."""
        return [entry for listed in self.children for entry in listed.children if entry.name == _LI]


class Property(NamedTuple):
    """A property of the photo, as an attribute or as an element of an rdf:Description."""

    name: str
    value: str | None  # None where it is no plain text
    owner: Element
    place: Attribute | Element


class Xmp(NamedTuple):
    """An XMP file.

    Attributes:
        text: Its text in UTF-8, without the byte order mark.
        mark: The byte order mark, or nothing.
        codec: Python's name of its encoding.
        rdf: The element rdf:RDF.
    """

    text: bytes
    mark: bytes
    codec: str
    rdf: Element

    @property
    def descriptions(self) -> list[Element]:
        """All rdf:Description of the photo."""
        return [element for element in self.rdf.children if element.name == _DESCRIPTION]

    def properties(self) -> Iterator[Property]:
        """Give all properties in their order, `rdf:about` left out."""
        for owner in self.descriptions:
            for attribute in owner.attributes:
                if attribute.name not in ABOUT:
                    yield Property(attribute.name, attribute.value, owner, attribute)
            for element in owner.children:
                yield Property(element.name, element.text, owner, element)

    def about(self) -> str:
        """Give the value of `rdf:about` with quotes; readers refuse files in which it differs."""
        found = (a for owner in self.descriptions for a in owner.attributes if a.name in ABOUT)
        first = next(found, None)
        return self.text[first.quoted : first.end].decode() if first else '""'


def read_xmp(content: bytes) -> Xmp:
    """Find the properties of an XMP file and their places.

    Raises:
        SidecarError: It is damaged, is no XMP, defines entities, or is not in UTF-8 or UTF-16.
    """
    mark, codec = next((found for found in _MARKS if content.startswith(found[0])), (b"", ""))
    if not codec:
        codec = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(content[:2], "utf-8")
    if not content.strip():
        raise SidecarError(f"it is empty: {DAMAGED}")
    try:
        text = content[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        raise SidecarError(f"its text is damaged, or in another encoding than UTF-8 or UTF-16: {DAMAGED}") from None
    declared = _DECLARED.match(text)
    if declared and not declared[1].lower().startswith(("utf-8", "utf8", "utf-16", "us-ascii")):
        raise SidecarError(f"its encoding is {declared[1]}: save it in UTF-8, or move it away, and run again")
    encoded = text.encode()
    return Xmp(encoded, mark, codec, _Reader(encoded).rdf)


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._open: list[Element | None] = []  # None for elements that are not kept
        self._root = ""
        self._found: list[Element] = []
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.ordered_attributes = True
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text
        self._parser.CommentHandler = self._mix
        self._parser.ProcessingInstructionHandler = self._mix
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            raise SidecarError(f"its XML is damaged ({error}): {DAMAGED}") from None
        if len(self._found) != 1:
            raise SidecarError(f"it is no XMP ({len(self._found)} elements rdf:RDF, one is expected): {DAMAGED}")
        self.rdf = self._found[0]

    def _refuse(self, *_: object) -> None:
        # entities can make gigabytes of a few lines, or read other files
        raise SidecarError("it has a DOCTYPE, which XMP must not have: move it away, and run again")

    def _start(self, name: str, attributes: list[str]) -> None:
        parent = self._open[-1] if self._open else None
        kept = self._is_rdf(name) if parent is None else self._level() < _LEVELS
        if parent and not kept:
            parent.mixed = True
        element = self._element(name, attributes) if kept else None
        if element:
            (parent.children if parent else self._found).append(element)
        if not self._open:
            self._root = name
        self._open.append(element)

    def _is_rdf(self, name: str) -> bool:
        depth = len(self._open)
        return name == f"{RDF} RDF" and (depth == 0 or (depth == 1 and self._root.split(" ")[0] == _ROOT_NAMESPACE))

    def _level(self) -> int:
        return sum(element is not None for element in self._open[: _LEVELS + 1])

    def _element(self, name: str, values: list[str]) -> Element:
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._text, start)
        if not tag:
            raise SidecarError(f"its XML is written in a way that is not understood: {DAMAGED}")
        written = [
            found
            for found in _ATTRIBUTE.finditer(self._text, tag.end(1), tag.end())
            if found[1] != b"xmlns" and not found[1].startswith(b"xmlns:")
        ]
        attributes = [
            Attribute(values[2 * n], values[2 * n + 1].strip(), found.start(), found.start(2), found.end())
            for n, found in enumerate(written)
        ]
        return Element(name, tag[1].decode(), attributes, start, tag.end(), bool(tag[2]))

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if element and element.empty:
            element.close = element.end = element.inside
        elif element:
            element.close = self._parser.CurrentByteIndex
            element.end = self._text.index(b">", element.close) + 1

    def _add_text(self, text: str) -> None:
        if self._open and self._open[-1]:
            self._open[-1].texts.append(text)

    def _mix(self, *_: object) -> None:
        if self._open and self._open[-1]:
            self._open[-1].mixed = True
