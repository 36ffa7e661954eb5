"""Conversion of decoded pictures of any mode and colour profile to 8-bit sRGB."""

import io

import numpy as np
from PIL import Image, ImageCms

_WIDE_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_PROFILED_MODES = {"RGB", "L", "CMYK"}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture of any mode to 8-bit RGB in sRGB, over white where it is transparent.

    An embedded ICC profile is followed when it fits the picture's colours and ignored when it is broken.

    Args:
        image: Any Pillow image whose pixels are loaded, with `info["icc_profile"]` where the file had one.

    Returns:
        An image of mode RGB and the same size.
    """
    icc = image.info.get("icc_profile")
    image = to_eight_bits(image)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    rgb = _follow_profile(_without_alpha(image), icc)
    if alpha is None:
        return rgb
    page = Image.new("RGB", image.size, "white")
    page.paste(rgb, mask=alpha)
    return page


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Reduce a picture with 16 or more bits per pixel to 8-bit gray (with alpha, if one level is transparent)."""
    if image.mode not in _WIDE_MODES:
        return image
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]  # 12-bit TIFFs arrive as I;16 too
        low, high = 0.0, float(2**bits - 1)
        if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow undoes for 8 bits only
            low, high = high, low
    else:
        low, high = _range_of(values, whole_numbers=image.mode == "I")
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low).astype(np.float32) - low) * (255 / (high - low))
    gray = Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return gray
    return Image.merge("LA", (gray, Image.fromarray(np.where(values == clear, np.uint8(0), np.uint8(255)))))


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode in _PROFILED_MODES:
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _range_of(values: np.ndarray, *, whole_numbers: bool) -> tuple[float, float]:
    # such files do not say what white is: the usual ranges are tried, then the picture's own is stretched
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for white in (255.0, 65535.0) if whole_numbers else (1.0, 255.0, 65535.0):
        if low >= 0 and high <= white:
            return 0.0, white
    return low, max(high, low + 1)


def _follow_profile(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if not _is_srgb(profile):
                converted = ImageCms.profileToProfile(
                    image,
                    profile,
                    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass  # a photo with a broken profile, or one for other inks or lights, is still a photo
    return image.convert("RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    # most photos carry an sRGB profile: not converting them saves a pass over every pixel
    description = (profile.profile.profile_description or "").lower()
    return description.startswith("srgb") and "linear" not in description
