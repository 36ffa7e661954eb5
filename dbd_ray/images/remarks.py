"""What C decoders write to stderr of a photo that they cannot name: heard here, and not shown."""

import ctypes
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

_STDERR = 2
_OF_LIBRAW = b"unknown file: "  # what it calls a file that it was given as bytes
_only_one = Lock()  # stderr is the process's


@functools.cache
def silence_libtiff() -> None:
    """Let libtiff write no errors, as Pillow lets it write no warnings: what fails is raised as well."""
    try:
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
    except (OSError, AttributeError):  # a Pillow without libtiff, or with one that cannot be asked
        return


@contextmanager
def libraw_heard() -> Iterator[list[str]]:
    """Hear what LibRaw writes of damaged data, in which it goes on; one thread at a time.

    Yields:
        A list, which holds the remarks when the block has ended. What others wrote to stderr meanwhile is written then.
    """
    remarks: list[str] = []
    with _only_one:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no stderr
            yield remarks
            return
        with tempfile.TemporaryFile() as heard:
            os.dup2(heard.fileno(), _STDERR)
            try:
                yield remarks
            finally:
                os.dup2(kept, _STDERR)
                os.close(kept)
                heard.seek(0)
                for line in heard:
                    if line.startswith(_OF_LIBRAW):
                        remarks.append(line.removeprefix(_OF_LIBRAW).decode(errors="replace").strip())
                    else:
                        os.write(_STDERR, line)
