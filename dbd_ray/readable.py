"""Texts that others chose, such as names of files and lenses, made safe to show among other texts."""

import unicodedata

# controls; format characters, among which those that turn the direction of what follows; lone surrogates; the
# separators of lines and paragraphs. The joiners stay, which emoji and some scripts are written with
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"


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
