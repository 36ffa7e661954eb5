"""Bytes to pixels and back: photos, masks, depth maps, overlays, and refinement to native size."""

from dbd_ray.images.decode import decode_photo, photo_size

__all__ = ["decode_photo", "photo_size"]
