"""Texts that others chose, such as names of files and lenses, made safe to show among other texts."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

# controls; format characters, among which those that turn the direction of what follows; lone surrogates; the
# separators of lines and paragraphs. The joiners stay, which emoji and some scripts are written with
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as comma-separated values, whatever is in them."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        # Python before 3.11.9 leaves a lone carriage return unquoted, which ends the row for whoever reads it
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)
    return text.getvalue()


def readable(text: str, longest: int | None = None) -> str:
    r"""Write characters that are unseen or move others as \xNN or \uNNNN; cut a long text in its middle.

    Args:
        text: Any text.
        longest: Most characters to give; None for all.
    """
    shown = "".join(_escaped(character) if _is_hidden(character) else character for character in text)
    if longest is None or len(shown) <= longest:
        return shown
    head = (longest - 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - (longest - 1 - head) :]}"


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
