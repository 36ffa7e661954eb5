"""Encoded bytes to pixels and back: photos, masks, depth maps; refinement to native size, tiles, overlays, sRGB."""

from dbd_ray.images.decode import decode_photo, photo_size

__all__ = ["decode_photo", "photo_size"]
