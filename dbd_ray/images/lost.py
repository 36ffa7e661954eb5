"""Parts of a file that a disk or a transfer lost: runs of zero bytes where coded pixels were.

Decoders take such zeros for codes and go on: with stripes, with flat colour, or with the picture out of place. Coded
pixels seldom hold so many zeros by themselves. Where they may, in flat pictures, a format's module asks more.
"""

from dbd_ray.errors import PhotoError

LOST = bytes(256)  # half of the smallest sector that disks have


def lost_part(format: str) -> PhotoError:
    """Make the error of a file of which a part was lost.

    Args:
        format: The file's format, as in "JPEG".
    """
    return PhotoError(
        "undecodable",
        f"a part of this {format} file was lost, zeros stand in its place: copy it again from where it came",
    )
